"""Evaluates a model's outputs on a split: its thresholds, the quality of their decisions, and a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from distill.core.output.terminal import note, output
from distill.core.settings.objective import Objective
from distill.data.labels import LabelSet
from distill.scoring.answers import Answers, Rows
from distill.scoring.baseline import AgainstBaseline, BaselineAnswers
from distill.scoring.calibration import Calibration, label_rates
from distill.scoring.metrics import (
    ConstantBaseline,
    Decisions,
    Probabilities,
    Quality,
    Targets,
    constant_baseline,
    measure_decisions,
)
from distill.scoring.selective import fit_answer_cuts
from distill.scoring.tables import label_table, quality_table
from distill.scoring.thresholds import Thresholds, cross_calibrated, cross_fitted, fit_thresholds


@dataclass(frozen=True)
class SplitOutputs:
    """A model's probabilities on the examples of `split`, and their Targets, float32 (N, L) each. `alone` holds its
    probabilities for the same examples with one modality, by its name: "text" or "image"."""

    split: str
    labels: LabelSet
    probabilities: Probabilities
    targets: Targets
    alone: Mapping[str, Probabilities] = field(default_factory=dict)

    def measure(self, probabilities: Probabilities, decisions: Decisions, thresholds: Thresholds) -> Quality:
        """The quality of decisions for these examples."""
        names, groups = self.labels.names, self.labels.group_columns
        return measure_decisions(names, self.targets, probabilities, decisions, thresholds.array(), groups)

    @property
    def judged(self) -> Rows:
        """Its examples."""
        return Rows(self.split, self.labels, self.targets)

    def constant(self, train_targets: Targets) -> ConstantBaseline:
        """The constant baseline, chosen on `train_targets`."""
        return constant_baseline(self.labels.names, train_targets, self.targets, self.labels.group_columns)


@dataclass(frozen=True)
class Evaluation:
    """Thresholds, the named qualities of their decisions (the one to quote first), and the constant baseline on the
    same examples. `answers` on the `judged` rows are those of the first quality, and `baseline` compares them."""

    thresholds: Thresholds
    rows: tuple[tuple[str, Quality], ...]
    constant: ConstantBaseline
    judged: Rows
    answers: Answers
    baseline: AgainstBaseline | None = None

    def beside(self, baseline: BaselineAnswers | None, who: str) -> Evaluation:
        """The same with a baseline that answered the judged rows, if there is one; `who` names the model."""
        if baseline is None:
            return self
        return replace(self, baseline=baseline.against(who, self.answers))

    def to_json(self) -> dict[str, Any]:
        """A JSON table."""
        rows = [{"what": what, **quality.to_json()} for what, quality in self.rows]
        tree = {"quality": rows, "constant": self.constant.to_json()}
        return tree if self.baseline is None else tree | {"baseline": asdict(self.baseline)}

    def show(self, title: str) -> None:
        """Print the table of qualities, the table of labels for the first one, and what the baseline says."""
        rows, baseline = self.rows, self.baseline
        if baseline is not None:
            rows = (*rows, (f"{self.judged.name}, {baseline.name}", baseline.quality))
        output.print(quality_table(title, rows, self.constant))
        output.print(label_table(self.rows[0][1]))
        if baseline is not None:
            note(baseline.sentence)


def evaluate_thresholds(outputs: SplitOutputs, thresholds: Thresholds, train_targets: Targets) -> Evaluation:
    """Evaluate thresholds that were fitted on other examples; the constant baseline is chosen on
    `train_targets`."""
    rows = [(f"{outputs.split}, not fitted on", outputs.probabilities)]
    rows += [(f"{outputs.split}, {modality} alone", alone) for modality, alone in outputs.alone.items()]
    qualities = tuple((name, outputs.measure(p, thresholds.apply(p), thresholds)) for name, p in rows)
    answers = Answers(
        outputs.probabilities, thresholds.apply(outputs.probabilities), thresholds, cross_fitted=False
    )
    return Evaluation(thresholds, qualities, outputs.constant(train_targets), outputs.judged, answers)


def fit_and_evaluate(
    outputs: SplitOutputs, objective: Objective, train_targets: Targets, calibration: Calibration | None = None
) -> Evaluation:
    """Fit thresholds on these outputs and evaluate them twice: cross-fitted, where each example is decided with
    thresholds fitted on others, and on the examples that they were fitted on, which is optimistic. The answer cuts
    are fitted to the former decisions. `calibration` is the one that the outputs have been through. Raises
    DataError if there are no positives."""
    targets, probabilities, groups = outputs.targets, outputs.probabilities, outputs.labels.group_columns
    rates = label_rates(train_targets)
    fitted = fit_thresholds(probabilities, targets, objective, outputs.split, rates, groups)
    answers = Answers.of(outputs.judged, probabilities, fitted, train_targets)  # decided as other posts are
    answer_cuts = fit_answer_cuts(probabilities, targets, answers.decisions)
    thresholds = replace(fitted, calibration=calibration, answer_cuts=answer_cuts)
    answers = replace(answers, thresholds=thresholds)

    rows = [
        (f"{outputs.split}, thresholds cross-fitted", answers.quality(outputs.judged)),
        (
            f"{outputs.split}, fitted on itself (flatters)",
            outputs.measure(probabilities, thresholds.apply(probabilities), thresholds),
        ),
    ]
    for modality, alone in outputs.alone.items():
        decisions = cross_fitted(probabilities, targets, objective, alone, rates, groups)
        honest = cross_calibrated(probabilities, targets, alone, rates, groups)
        alone_answers = Answers(alone, decisions, thresholds, True, honest)
        rows.append((f"{outputs.split}, {modality} alone", alone_answers.quality(outputs.judged)))
    return Evaluation(thresholds, tuple(rows), outputs.constant(train_targets), outputs.judged, answers)
