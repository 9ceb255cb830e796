"""Whether a model has seen the examples that it is measured on, in training or where its thresholds were fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bench.quality.eval_set import EvalSet
from distill.data import lineage
from distill.data.checks import content_hash
from distill.data.run_folder import START_FILE
from distill.runtime.bundle import is_bundle
from distill.scoring.thresholds import FittedOn, Thresholds


@dataclass(frozen=True)
class Leakage:
    """`fitted` says that the thresholds were fitted on these very examples. `trained` and `watched` count those
    that a run learned from, and those of the dev splits that stopped its trainings; None where nothing says which
    these were, as in a Bundle: there the split's name and number of rows stand for the examples."""

    fitted: bool
    trained: int | None
    watched: int | None

    def source(self, thresholds: Thresholds, split: str) -> str:
        """Where the thresholds that count come from."""
        if self.fitted:
            return f"cross-fitted on {split}"
        return f"fitted on {'another ' * (thresholds.fitted_on.split == split)}{thresholds.fitted_on}"


def leakage(folder: Path, thresholds: Thresholds, eval_set: EvalSet) -> Leakage:
    """What the run or Bundle in `folder` records of the examples. Raises RunError and ImageError."""
    fitted = replace(thresholds.fitted_on, carried_to="", carried_with=0)
    if is_bundle(folder) or not (folder / START_FILE).is_file():
        return Leakage(fitted == FittedOn(eval_set.split, len(eval_set.examples)), None, None)
    seen, own = lineage.read_lineage(folder), lineage.dev_hashes(folder)
    content_hashes = [content_hash(example) for example in eval_set.examples]
    return Leakage(
        fitted=fitted == FittedOn("dev", len(content_hashes)) and own >= frozenset(content_hashes),
        trained=sum(hash_ in seen.train for hash_ in content_hashes),
        watched=sum(hash_ in seen.dev for hash_ in content_hashes),
    )
