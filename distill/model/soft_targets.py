"""A teacher's logits on disk: all that a student knows of its teacher. Knows arrays and ids, not models."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.files import write_bytes


@dataclass(frozen=True)
class Soft:
    """What a teacher says of N examples: logits float32 (N, L), and its encoders' outputs text float32 (N, Wt)
    and image float32 (N, Wp)."""

    logits: NDArray[np.float32]
    text: NDArray[np.float32]
    image: NDArray[np.float32]

    def subset(self, rows: NDArray[np.int64]) -> Soft:
        """The examples of these rows."""
        return Soft(self.logits[rows], self.text[rows], self.image[rows])


@dataclass(frozen=True)
class SoftTargets:
    """`logits` float32 (N, L) of the examples `ids`, by the teacher whose weights have this SHA-256, and what its
    encoders gave: `text` float32 (N, Wt), `image` float32 (N, Wp).

    `content` names what the teacher saw of each example (a hash over text and image). `held_out` bool (N,)
    marks the examples that it was not trained on: a fold's, or none.
    """

    ids: tuple[str, ...]
    content: tuple[str, ...]
    labels: tuple[str, ...]
    logits: NDArray[np.float32]
    text: NDArray[np.float32]
    image: NDArray[np.float32]
    held_out: NDArray[np.bool_]
    teacher_sha256: str

    def write(self, path: Path) -> None:
        """One .npz file, without pickles, written whole."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            ids=np.array(self.ids, dtype=np.str_),
            content=np.array(self.content, dtype=np.str_),
            labels=np.array(self.labels, dtype=np.str_),
            logits=self.logits.astype(np.float32),
            text=self.text.astype(np.float16),
            image=self.image.astype(np.float16),
            held_out=self.held_out,
            teacher_sha256=np.array(self.teacher_sha256),
        )
        write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> SoftTargets:
        """Raises RunError for a file that is absent, damaged or of another form."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                ids, content, labels = (tuple(map(str, file[name])) for name in ("ids", "content", "labels"))
                logits, text, image = (file[name].astype(np.float32) for name in ("logits", "text", "image"))
                held_out, teacher = file["held_out"].astype(bool), str(file["teacher_sha256"])
        except Exception as error:  # zip, zlib and numpy each have errors of their own
            raise RunError(
                f"{path}: not readable as soft targets ({error}); run distill train-teacher again"
            ) from error
        rows = {len(ids), len(content), len(text), len(image), len(held_out)}
        flat = text.ndim != 2 or image.ndim != 2 or held_out.ndim != 1
        if logits.shape != (len(ids), len(labels)) or len(rows) != 1 or flat or not np.isfinite(logits).all():
            raise RunError(
                f"{path}: {logits.shape} logits for {len(ids)} ids and {len(labels)} labels, or not finite, or the "
                "features are no tables; run distill train-teacher again"
            )
        return cls(ids, content, labels, logits, text, image, held_out, teacher)

    def pick(self, content: Sequence[str]) -> Soft:
        """The outputs for M examples, in the order of `content`. Raises RunError when one is not covered."""
        rows = self._rows(content)
        return Soft(self.logits[rows], self.text[rows], self.image[rows])

    def unseen(self, content: Sequence[str]) -> NDArray[np.bool_]:
        """bool (M,): which of these examples the teacher was not trained on. Raises RunError as `pick`."""
        return self.held_out[self._rows(content)]

    def joined(self, other: SoftTargets) -> SoftTargets:
        """Both, of one teacher."""
        return SoftTargets(
            ids=self.ids + other.ids,
            content=self.content + other.content,
            labels=self.labels,
            logits=np.concatenate([self.logits, other.logits]),
            text=np.concatenate([self.text, other.text]),
            image=np.concatenate([self.image, other.image]),
            held_out=np.concatenate([self.held_out, other.held_out]),
            teacher_sha256=self.teacher_sha256,
        )

    def _rows(self, content: Sequence[str]) -> NDArray[np.int64]:
        row = {name: index for index, name in enumerate(self.content)}
        missing = [name for name in content if name not in row]
        if missing:
            raise RunError(f"soft targets cover {len(row)} examples, but not {len(missing)} of those asked for")
        return np.array([row[name] for name in content], dtype=np.int64)


def average(teachers: Sequence[SoftTargets], content: Sequence[str]) -> SoftTargets:
    """An ensemble's soft targets for the examples of this content: the mean of the teachers' logits.

    Their encoders' outputs cannot be averaged, so with more than one teacher they have a width of 0.
    Raises RunError when the teachers differ in labels or in what they were not trained on.
    """
    first = teachers[0]
    if any(teacher.labels != first.labels for teacher in teachers):
        raise RunError("the teachers have different labels; an ensemble needs one label set in one order")
    unseen = first.unseen(content)
    if any((teacher.unseen(content) != unseen).any() for teacher in teachers):
        raise RunError("the teachers' folds differ; train them with the same teacher.folds and teacher.seed")
    parts = [teacher.pick(content) for teacher in teachers]
    none = np.zeros((len(content), 0), dtype=np.float32)
    name = dict(zip(first.content, first.ids, strict=True))
    return SoftTargets(
        ids=tuple(name[c] for c in content),
        content=tuple(content),
        labels=first.labels,
        logits=np.mean([part.logits for part in parts], axis=0, dtype=np.float32),
        text=parts[0].text if len(parts) == 1 else none,
        image=parts[0].image if len(parts) == 1 else none,
        held_out=unseen,
        teacher_sha256="+".join(teacher.teacher_sha256 for teacher in teachers),
    )
