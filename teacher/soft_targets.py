"""Computing soft targets: a teacher runs over examples once and stores its outputs (distill.model.soft_targets)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.output.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.dataset import EncodedDataset
from distill.model.distributed import on_first_process
from distill.model.encoders.weights import fingerprint
from distill.model.soft_targets import SoftTargets, average_teachers

FILE = "soft_targets.npz"
FOLD_FILE = "soft_targets-fold{}.npz"


def compute_soft_targets(
    classifier: Classifier,
    examples: Sequence[Example],
    encoded: EncodedDataset | None = None,
    held_out_mask: NDArray[np.bool_] | None = None,
) -> SoftTargets:
    """Run a teacher over the examples, in the arithmetic of its training; `encoded` are the same examples if they
    are encoded already, `held_out_mask` bool (N,) marks those that it was not trained on."""
    outputs = classifier.outputs(classifier.encode(examples) if encoded is None else encoded, as_trained=True)
    return SoftTargets(
        ids=tuple(example.id for example in examples),
        content_hashes=tuple(content_hash(example) for example in examples),
        labels=classifier.labels.names,
        groups=classifier.labels.groups,
        outputs=outputs,
        held_out_mask=np.zeros(len(examples), dtype=bool) if held_out_mask is None else held_out_mask,
        teacher_sha256=fingerprint(classifier.network),
    )


@on_first_process
def load_or_compute(folder: Path, examples: Sequence[Example]) -> SoftTargets:
    """The stored soft targets of a teacher's run; if they lack some of the examples, the teacher runs over these
    and they are added to the file.

    Raises RunError if there is no finished teacher in `folder`.
    """
    path = folder / FILE
    stored = SoftTargets.read(path) if path.is_file() else None
    stored_hashes = set(stored.content_hashes) if stored is not None else set()
    missing = {c: e for e in examples if (c := content_hash(e)) not in stored_hashes}
    if stored is not None and not missing:
        return stored
    if stored is not None:
        note(f"{path} lacks {len(missing)} of {len(examples)} examples: the teacher runs over them once")
    targets = compute_soft_targets(Checkpoint.load(folder).classifier, list(missing.values()))
    if stored is not None:
        if stored.teacher_sha256 != targets.teacher_sha256:
            raise RunError(f"{path}: written by other weights than the run's; remove it, it is made again")
        targets = stored.concatenate(targets)
    targets.write(path)
    return targets


def load_folds(folder: Path) -> list[SoftTargets]:
    """The soft targets of each fold's teacher for the training split, and for the unlabelled examples that it was
    given; empty for a teacher without folds."""
    count = len(list(folder.glob(FOLD_FILE.format("*"))))
    return [SoftTargets.read(folder / FOLD_FILE.format(number)) for number in range(1, count + 1)]


def ensemble_soft_targets(folders: Sequence[Path], examples: Sequence[Example]) -> SoftTargets:
    """The soft targets of one teacher, or the mean of several, for these examples. Raises RunError."""
    content_hashes = list(dict.fromkeys(content_hash(example) for example in examples))
    return average_teachers([load_or_compute(folder, examples) for folder in folders], content_hashes)


def ensemble_folds(
    folders: Sequence[Path], examples: Sequence[Example], unlabelled: Sequence[Example] = ()
) -> list[SoftTargets]:
    """As `ensemble_soft_targets`, fold by fold, with those of the `unlabelled` examples that every fold's teacher
    has answered; empty if a teacher has no folds. Raises RunError if the teachers differ in the number of folds,
    or were trained on other examples."""
    folds = [load_folds(folder) for folder in folders]
    counts = sorted({len(of_teacher) for of_teacher in folds})
    if 0 in counts:
        return []
    if len(counts) > 1:
        raise RunError(f"the teachers have {' and '.join(map(str, counts))} folds; train them with the same number")
    answered = set.intersection(*(set(fold.content_hashes) for of_teacher in folds for fold in of_teacher))
    content_hashes = [content_hash(example) for example in examples]
    content_hashes += [hash_ for example in unlabelled if (hash_ := content_hash(example)) in answered]
    averaged = [average_teachers(of_fold, content_hashes) for of_fold in zip(*folds, strict=True)]
    times = np.sum([fold.held_out_mask[: len(examples)] for fold in averaged], axis=0)
    if others := int((times != 1).sum()):
        raise RunError(
            f"{others} of {len(examples)} training examples are held out by none of the teacher's folds, or by "
            "several: it was trained on other data; train it again"
        )
    return averaged
