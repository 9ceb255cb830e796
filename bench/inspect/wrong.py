"""Which examples a model is most wrong about, and by which labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.inspect.temperature import pair_losses
from distill.core.untrusted import replace_surrogates
from distill.data.dataset import Example
from distill.data.groups import NO_GROUPS, GroupColumns
from distill.scoring.metrics import Decisions, Probabilities, Targets


@dataclass(frozen=True)
class LabelDecision:
    """One label of one example: whether it is gold, whether it is decided, and its probability."""

    name: str
    gold: bool
    predicted: bool
    probability: float

    @property
    def kind(self) -> Literal["found", "missed", "false"]:
        """Of a label that is gold or decided: both, gold alone, or decided alone."""
        return "false" if not self.gold else "found" if self.predicted else "missed"


@dataclass(frozen=True)
class Wrong:
    """An example, its place in the split from 0, and its cross-entropy in nats, summed over all decisions;
    `verdicts` are of the known labels that are gold or decided, the costliest first."""

    row: int
    id: str
    text: str
    loss: float
    verdicts: tuple[LabelDecision, ...]


def most_wrong(
    names: Sequence[str],
    examples: Sequence[Example],
    targets: Targets,
    p: Probabilities,
    decisions: Decisions,
    worst: int,
    groups: GroupColumns = NO_GROUPS,
) -> tuple[Wrong, ...]:
    """The examples with the largest cross-entropy summed over decisions, the worst first."""
    false = (targets == 0) & decisions
    losses, gold = pair_losses(targets, p, groups), targets == 1
    wrong = []
    for row in np.argsort(-losses.sum(1), kind="stable")[:worst].tolist():
        some = [i for i in np.argsort(-losses[row], kind="stable").tolist() if gold[row, i] or false[row, i]]
        verdicts = tuple(
            LabelDecision(names[i], bool(gold[row, i]), bool(decisions[row, i]), float(p[row, i])) for i in some
        )
        example = examples[row]
        wrong.append(Wrong(row, example.id, replace_surrogates(example.text), float(losses[row].sum()), verdicts))
    return tuple(wrong)
