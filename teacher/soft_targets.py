"""Writing down what a teacher says of examples. Knows a teacher's run, no student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.model.distributed import by_first
from distill.model.encoders import fingerprint
from distill.model.soft_targets import SoftTargets, average

FILE = "soft_targets.npz"
FOLD_FILE = "soft_targets-fold{}.npz"


def ask(
    classifier: Classifier,
    examples: Sequence[Example],
    encoded: EncodedDataset | None = None,
    held_out: NDArray[np.bool_] | None = None,
) -> SoftTargets:
    """Run a teacher over the examples once; `encoded` are the same ones where they are encoded already."""
    outputs = classifier.outputs(classifier.encode(examples) if encoded is None else encoded)
    return SoftTargets(
        ids=tuple(example.id for example in examples),
        content=tuple(content_hash(example) for example in examples),
        labels=classifier.labels.names,
        outputs=outputs,
        held_out=np.zeros(len(examples), dtype=bool) if held_out is None else held_out,
        teacher_sha256=fingerprint(classifier.network),
    )


@by_first
def ensure(folder: Path, examples: Sequence[Example]) -> SoftTargets:
    """A teacher's stored outputs for these examples; it runs once over those that it has not seen yet.

    Raises RunError when there is no finished teacher in `folder`.
    """
    stored = SoftTargets.read(folder / FILE) if (folder / FILE).is_file() else None
    known = set(stored.content) if stored is not None else set()
    missing = {c: e for e in examples if (c := content_hash(e)) not in known}
    if stored is not None and not missing:
        return stored
    if stored is not None:
        note(f"{folder / FILE} lacks {len(missing)} of {len(examples)} examples: the teacher runs over them once")
    asked = ask(Checkpoint.load(folder).classifier, list(missing.values()))
    if stored is not None and stored.teacher_sha256 != asked.teacher_sha256:
        raise RunError(f"{folder / FILE}: written by other weights than the run's; remove it, it is made again")
    targets = asked if stored is None else stored.joined(asked)
    targets.write(folder / FILE)
    return targets


def folds(folder: Path) -> list[SoftTargets]:
    """What each fold's teacher says of the training split; empty when it was trained without folds."""
    count = len(list(folder.glob(FOLD_FILE.format("*"))))
    return [SoftTargets.read(folder / FOLD_FILE.format(number)) for number in range(1, count + 1)]


def gather(folders: Sequence[Path], examples: Sequence[Example]) -> SoftTargets:
    """What one teacher, or the mean of several, says of these examples. Raises RunError."""
    content = list(dict.fromkeys(content_hash(example) for example in examples))
    return average([ensure(folder, examples) for folder in folders], content)


def gather_folds(folders: Sequence[Path], examples: Sequence[Example]) -> list[SoftTargets]:
    """As `gather`, fold by fold: empty when a teacher has no folds. Raises RunError when they differ in number,
    or were trained on other examples."""
    found = [folds(folder) for folder in folders]
    counts = sorted({len(part) for part in found})
    if 0 in counts:
        return []
    if len(counts) > 1:
        raise RunError(f"the teachers have {' and '.join(map(str, counts))} folds; train them with the same number")
    content = [content_hash(example) for example in examples]
    return [average(part, content) for part in zip(*found, strict=True)]
