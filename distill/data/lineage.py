"""What a run has learned from, and those that it started from before it. Knows folders and hashes, no weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import RunError
from distill.core.files import read_json
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.data.run_folder import START_FILE

RETRAIN = "retrain"  # of what a run depends on


@dataclass(frozen=True)
class Lineage:
    """Content hashes: `train` went into a run's weights, or into those that it started from; `dev` stopped these
    trainings and may have set thresholds; `test` is what it was judged on when it was retrained, else empty."""

    train: frozenset[str]
    dev: frozenset[str]
    test: frozenset[str]

    def trained_on(self, examples: Iterable[Example]) -> list[bool]:
        """Whether each example went into the weights. Raises ImageError."""
        return [content_hash(example) in self.train for example in examples]


def read_lineage(run: Path) -> Lineage:
    """From what the run wrote down when it started. Raises RunError."""
    tree = _started(run)
    try:
        before = tree["depends_on"].get(RETRAIN, {"train": [], "dev": [], "test": []})
        train, dev = (frozenset([*tree["data"][name], *before[name]]) for name in ("train", "dev"))
        return Lineage(train, dev, frozenset(before["test"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise _silent(run) from error


def dev_hashes(run: Path) -> frozenset[str]:
    """Content hashes of the dev split of the run itself, whatever it started from. Raises RunError."""
    try:
        return frozenset(_started(run)["data"]["dev"])
    except (KeyError, TypeError) as error:
        raise _silent(run) from error


def _started(run: Path) -> Any:
    return read_json(run / START_FILE, RunError)


def _silent(run: Path) -> RunError:
    return RunError(f"{run / START_FILE}: does not say what the run was trained on; train again")


def retrain_record(seen: Lineage, sha256: str, test: Sequence[Example]) -> dict[str, Any]:
    """What a retrained run writes down when it starts from weights of this SHA-256 that have `seen` so much."""
    before = {"from": sha256, "train": sorted(seen.train), "dev": sorted(seen.dev)}
    return {RETRAIN: before | {"test": sorted(content_hash(example) for example in test)}}
