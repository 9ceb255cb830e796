"""Thresholds for a model's outputs and what they are worth. Knows arrays, not models; writes no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from distill.core.recipe import Objective
from distill.core.terminal import output
from distill.scoring.metrics import (
    Constant,
    Probabilities,
    Quality,
    Targets,
    constant_predictor,
    measure,
    measure_decisions,
)
from distill.scoring.tables import label_table, quality_table
from distill.scoring.thresholds import Thresholds, cross_fitted, fit

# Outputs (N, L) of a model that sees only one modality, by its name: "text" or "image".
Alone = Mapping[str, Probabilities]


@dataclass(frozen=True)
class Scored:
    """Fitted thresholds, named figures (the honest one first) and the constant predictor on the same rows."""

    thresholds: Thresholds
    rows: tuple[tuple[str, Quality], ...]
    constant: Constant

    def to_json(self) -> dict[str, Any]:
        """A plain table."""
        rows = [{"what": what, **quality.to_json()} for what, quality in self.rows]
        return {"quality": rows, "constant": asdict(self.constant)}

    def show(self, title: str) -> None:
        """Print the overall table and the labels of its first row."""
        output.print(quality_table(title, self.rows, self.constant))
        output.print(label_table(self.rows[0][1]))


def score_with(
    thresholds: Thresholds,
    names: tuple[str, ...],
    probabilities: Probabilities,
    targets: Targets,
    train_targets: Targets,
    what: str,
    alone: Alone,
) -> Scored:
    """As `fit_and_score`, with thresholds that were fitted on other examples."""
    rows = [(f"{what}, not fitted on", measure(names, targets, probabilities, thresholds.array()))]
    for modality, outputs in alone.items():
        rows.append((f"{what}, {modality} alone", measure(names, targets, outputs, thresholds.array())))
    return Scored(thresholds, tuple(rows), constant_predictor(names, train_targets, targets))


def fit_and_score(
    names: tuple[str, ...],
    probabilities: Probabilities,
    targets: Targets,
    train_targets: Targets,
    objective: Objective,
    what: str,
    alone: Alone,
) -> Scored:
    """Fit thresholds on these outputs (N, L) and measure them twice: on rows that each row's thresholds
    were not fitted on, and on the same rows, which flatters. `what` names the outputs, such as "dev"; `alone`
    holds the outputs for the same rows without their image or without their text."""
    thresholds = fit(probabilities, targets, objective, f"{what}, {len(targets)} examples")
    decisions = cross_fitted(probabilities, targets, objective)
    honest = measure_decisions(names, targets, probabilities, decisions, thresholds.array())
    flattering = measure(names, targets, probabilities, thresholds.array())
    rows = [
        (f"{what}, thresholds cross-fitted", honest),
        (f"{what}, fitted on itself (flatters)", flattering),
    ]
    for modality, outputs in alone.items():
        decided = cross_fitted(probabilities, targets, objective, applied_to=outputs)
        quality = measure_decisions(names, targets, outputs, decided, thresholds.array())
        rows.append((f"{what}, {modality} alone", quality))
    return Scored(thresholds, tuple(rows), constant_predictor(names, train_targets, targets))
