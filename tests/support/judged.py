"""Verdicts of arms whose probabilities are known, decided as on the rows that thresholds were fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distill.core.settings.objective import Objective
from distill.data.labels import LabelSet
from distill.scoring.answers import Answers, Rows
from distill.scoring.calibration import label_rates
from distill.scoring.thresholds import fit_thresholds
from student.verdict import Arms, DistillationVerdict, judge_distillation


def rows_of(targets: np.ndarray, name: str = "dev") -> Rows:
    return Rows(name, LabelSet(tuple(f"label {i}" for i in range(targets.shape[1]))), targets)


def answered(rows: Rows, probabilities: np.ndarray, objective: Objective, fitted_on: str = "dev") -> Answers:
    thresholds = fit_thresholds(probabilities, rows.targets, objective, fitted_on, label_rates(rows.targets))
    return Answers.of(rows, probabilities, thresholds, rows.targets)


def judged(
    targets: np.ndarray,
    arms: Sequence[list[np.ndarray]],
    seeds: tuple[int, ...],
    objective: Objective,
    **how: Any,
) -> DistillationVerdict:
    """`arms` are the probabilities of teacher, distilled and control."""
    rows = rows_of(targets)
    answers = ([answered(rows, p, objective) for p in arm] for arm in arms)
    return judge_distillation(rows, Arms(*answers), seeds, objective, **how)
