"""Writing a teacher's logits down. Knows a teacher's run, no student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from distill.checkpoint import Checkpoint
from distill.data import Example
from distill.integrity import content_hash
from distill.soft_targets import SoftTargets
from distill.terminal import note

FILE = "soft_targets.npz"


def write(teacher: Checkpoint, examples: Sequence[Example]) -> SoftTargets:
    """Run the teacher over the examples once and store its logits in its own run."""
    targets = SoftTargets(
        ids=tuple(example.id for example in examples),
        content=tuple(content_hash(example) for example in examples),
        labels=teacher.classifier.labels.names,
        logits=teacher.logits(examples),
        teacher_sha256=teacher.sha256,
    )
    targets.write(teacher.folder / FILE)
    return targets


def ensure(folder: Path, examples: Sequence[Example]) -> SoftTargets:
    """The stored logits when they cover these examples; else the teacher is opened and runs once more.

    Raises RunError when there is no finished teacher in `folder`.
    """
    content = [content_hash(example) for example in examples]
    if (folder / FILE).is_file():
        stored = SoftTargets.read(folder / FILE)
        if stored.covers(content):
            return stored
        note(f"{folder / FILE} does not cover this training split: the teacher runs over it once")
    return write(Checkpoint.load(folder), examples)
