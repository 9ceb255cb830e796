"""Which examples a run has learned from, including the runs that it was retrained from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import RunError
from distill.core.storage.files import read_json
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.data.run_folder import START_FILE

RETRAIN = "retrain"  # the key in a run's depends_on


@dataclass(frozen=True)
class Lineage:
    """Content hashes of the examples behind a run, and behind the runs that it was retrained from: `train` went
    into the weights; `dev` stopped trainings and may have set thresholds; `test` judged the run when it was
    retrained, and is empty if it was not."""

    train: frozenset[str]
    dev: frozenset[str]
    test: frozenset[str]

    def trained_on(self, examples: Iterable[Example]) -> list[bool]:
        """Whether each example went into the weights. Raises ImageError."""
        return [content_hash(example) in self.train for example in examples]


def read_lineage(run: Path) -> Lineage:
    """The lineage that a run recorded when it started. Raises RunError."""
    tree = read_json(run / START_FILE, RunError)
    try:
        earlier = tree["depends_on"].get(RETRAIN, {"train": [], "dev": [], "test": []})
        train, dev = (frozenset([*tree["data"][name], *earlier[name]]) for name in ("train", "dev"))
        return Lineage(train, dev, frozenset(earlier["test"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise _no_record(run) from error


def dev_hashes(run: Path) -> frozenset[str]:
    """Content hashes of the run's own dev split, without those of earlier runs. Raises RunError."""
    tree = read_json(run / START_FILE, RunError)
    try:
        return frozenset(tree["data"]["dev"])
    except (KeyError, TypeError) as error:
        raise _no_record(run) from error


def _no_record(run: Path) -> RunError:
    return RunError(f"{run / START_FILE}: does not record what the run was trained on; train again")


def retrain_record(lineage: Lineage, sha256: str, test: Sequence[Example]) -> dict[str, Any]:
    """The entry of a retrained run's depends_on: the lineage of the weights that it starts from, their SHA-256, and
    the test examples that judge it."""
    earlier = {"from": sha256, "train": sorted(lineage.train), "dev": sorted(lineage.dev)}
    return {RETRAIN: earlier | {"test": sorted(content_hash(example) for example in test)}}
