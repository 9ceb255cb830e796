"""Successive halving that serves the goal: the cheapest student that is not worse, not the best one.

Jamieson and Talwalkar 2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", keep the
better half after each round. Here a candidate can also win by its cost. So only two kinds leave: those that are
shown to be worse than the best by more than may be lost, and those that another one beats at no greater cost; of
the latter, the ones that are nearest to what beats them fill up the half. What is cheaper than all that beat it
always stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.scoring.bootstrap import estimate
from distill.scoring.estimate import Estimate

AS_QUICK = 1.05  # times the milliseconds: the same Bundle measured twice differs by as much


@dataclass(frozen=True)
class Entrant:
    """A candidate in a round: what it costs, and its F1 on the data and in each draw of the bootstrap, (1 + R,),
    in pairs with those of the others."""

    name: str
    ms: float
    size_bytes: int
    f1: NDArray[np.float64]


@dataclass(frozen=True)
class Fate:
    """What a round says of a candidate: its F1 minus the best one's, and why it is out, "" if it stays."""

    name: str
    gain: Estimate
    out: str


def rounds_of(folds: int) -> list[int]:
    """How many folds each round has: 1, 2, 4 and so on, and all in the last."""
    return [*(2**power for power in range(folds.bit_length()) if 2**power < folds), folds]


def trainings_of(candidates: int, folds: int) -> int:
    """How many trainings a search takes if every round keeps half, the finalists' on everything among them."""
    done, total = 0, 0
    for round_folds in rounds_of(folds):
        total += candidates * (round_folds - done)
        candidates, done = (candidates + 1) // 2, round_folds
    return total + candidates


def best_of(entrants: Sequence[Entrant]) -> Entrant:
    """The one with the highest F1, the quicker of two."""
    return max(entrants, key=lambda entrant: (entrant.f1[0], -entrant.ms, -entrant.size_bytes))


def halve(entrants: Sequence[Entrant], max_drop: float) -> list[Fate]:
    """Who stays for the next round, in the order of the entrants; `max_drop` is the F1 that may be lost."""
    best = best_of(entrants)
    gains = {entrant.name: estimate(entrant.f1 - best.f1) for entrant in entrants}
    out = {
        name: f"worse than {best.name} by more than {max_drop:g}"
        for name, gain in gains.items()
        if gain.high < -max_drop
    }
    able = [entrant for entrant in entrants if entrant.name not in out]
    beaten = {}
    for entrant in able:
        rivals = [rival for rival in able if beats(rival, entrant)]
        if rivals:
            beaten[entrant.name] = best_of(rivals)
    room = max(0, (len(entrants) + 1) // 2 - (len(able) - len(beaten)))
    last = sorted(
        (entrant for entrant in able if entrant.name in beaten),
        key=lambda entrant: beaten[entrant.name].f1[0] - entrant.f1[0],
    )
    for entrant in last[room:]:
        out[entrant.name] = f"behind {beaten[entrant.name].name}, which costs no more"
    return [Fate(entrant.name, gains[entrant.name], out.get(entrant.name, "")) for entrant in entrants]


def beats(rival: Entrant, entrant: Entrant) -> bool:
    """Whether a rival has the higher F1 and costs no more, or the same F1 and costs less."""
    if rival.ms > AS_QUICK * entrant.ms or rival.size_bytes > entrant.size_bytes:
        return False
    if rival.f1[0] == entrant.f1[0]:
        return rival.ms <= entrant.ms and (rival.ms, rival.size_bytes) != (entrant.ms, entrant.size_bytes)
    return bool(rival.f1[0] > entrant.f1[0])
