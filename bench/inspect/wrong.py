"""Which examples a model is most wrong about, and by which labels. Knows probabilities and truth, no images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.inspect.temperature import pair_losses
from distill.core.untrusted import replace_surrogates
from distill.data.dataset import Example
from distill.scoring.metrics import Decisions, Probabilities, Targets


@dataclass(frozen=True)
class Verdict:
    """One label of one example: whether it is gold, and decided, and what the model said."""

    name: str
    gold: bool
    predicted: bool
    probability: float


@dataclass(frozen=True)
class Wrong:
    """An example, its place in the split from 0, and its binary cross-entropy in nats, summed over all labels;
    `verdicts` are of the labels that are gold or decided, the costliest first."""

    row: int
    id: str
    text: str
    loss: float
    verdicts: tuple[Verdict, ...]


def most_wrong(
    names: Sequence[str],
    examples: Sequence[Example],
    targets: Targets,
    p: Probabilities,
    decisions: Decisions,
    worst: int,
) -> tuple[Wrong, ...]:
    """The examples with the largest binary cross-entropy summed over labels, the worst first."""
    losses, gold = pair_losses(targets, p), targets > 0.5
    found = []
    for row in np.argsort(-losses.sum(1), kind="stable")[:worst].tolist():
        some = [i for i in np.argsort(-losses[row], kind="stable").tolist() if gold[row, i] or decisions[row, i]]
        verdicts = tuple(
            Verdict(names[i], bool(gold[row, i]), bool(decisions[row, i]), float(p[row, i])) for i in some
        )
        example = examples[row]
        found.append(Wrong(row, example.id, replace_surrogates(example.text), float(losses[row].sum()), verdicts))
    return tuple(found)
