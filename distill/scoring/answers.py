"""What a model answers on labelled examples: its probabilities, and decisions that no label of them has made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from distill.data.groups import GroupColumns
from distill.data.labels import LabelSet
from distill.scoring.calibration import label_rates
from distill.scoring.metrics import (
    Decisions,
    Probabilities,
    Quality,
    Targets,
    expected_calibration_error,
    measure_decisions,
    micro_ap,
)
from distill.scoring.thresholds import Thresholds, cross_calibrated, cross_fitted

OUT_OF_FOLD = "out-of-fold train"  # the training split, each example answered by a model that has not seen it


@dataclass(frozen=True)
class Rows:
    """Labelled examples that models are judged on: what they are called, their labels, and Targets (N, L)."""

    name: str
    labels: LabelSet
    targets: Targets

    def __len__(self) -> int:
        return len(self.targets)

    def __str__(self) -> str:
        return f"{self.name} ({len(self)} examples)"

    @property
    def groups(self) -> GroupColumns:
        """The columns of labels that exclude each other."""
        return self.labels.group_columns


@dataclass(frozen=True)
class Answers:
    """A model's probabilities float32 (N, L) for some rows, its decisions bool (N, L), and the thresholds that ship
    with it. Where these were fitted on the same rows, the decisions are `cross_fitted` instead, and there are
    `cross_calibrated` probabilities beside: each row calibrated on others."""

    probabilities: Probabilities
    decisions: Decisions
    thresholds: Thresholds
    cross_fitted: bool
    cross_calibrated: Probabilities | None = None

    @property
    def over_labels(self) -> Probabilities:
        """The probabilities that count where those of different labels are compared, as in micro-AP and ECE."""
        return self.probabilities if self.cross_calibrated is None else self.cross_calibrated

    @classmethod
    def of(cls, rows: Rows, probabilities: Probabilities, thresholds: Thresholds, train: Targets) -> Answers:
        """Decide by the thresholds that ship, or, where they were fitted on these rows, each row by thresholds
        fitted on others. `train` are the Targets of the training split."""
        if thresholds.fitted_on.split != rows.name:
            return cls(probabilities, thresholds.apply(probabilities), thresholds, cross_fitted=False)
        rates = label_rates(train)
        decisions = cross_fitted(probabilities, rows.targets, thresholds.objective, rates=rates, groups=rows.groups)
        honest = cross_calibrated(probabilities, rows.targets, rates=rates, groups=rows.groups)
        return cls(probabilities, decisions, thresholds, True, honest)

    def origin(self, rows: Rows) -> str:
        """Where the thresholds that count come from."""
        return f"cross-fitted on {rows.name}" if self.cross_fitted else f"fitted on {self.thresholds.fitted_on}"

    def quality(self, rows: Rows) -> Quality:
        """Of the decisions; micro-AP and ECE are those of `over_labels`, while each label keeps its own AP."""
        cuts = self.thresholds.array()
        names, targets = rows.labels.names, rows.targets
        quality = measure_decisions(names, targets, self.probabilities, self.decisions, cuts, rows.groups)
        ece = expected_calibration_error(targets, self.over_labels)
        return replace(quality, micro_ap=micro_ap(targets, self.over_labels), ece=ece)
