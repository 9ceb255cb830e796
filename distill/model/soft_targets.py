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
from distill.model.outputs import Outputs


@dataclass(frozen=True)
class SoftTargets:
    """`outputs` of the teacher whose weights have this SHA-256 for the examples `ids`.

    `content` names what the teacher saw of each example (a hash over text and image). `held_out` bool (N,)
    marks the examples that it was not trained on: a fold's, or none.
    """

    ids: tuple[str, ...]
    content: tuple[str, ...]
    labels: tuple[str, ...]
    outputs: Outputs[NDArray[np.float32]]
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
            logits=self.outputs.logits.astype(np.float32),
            text=self.outputs.text.astype(np.float16),
            image=self.outputs.image.astype(np.float16),
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
        return cls(ids, content, labels, Outputs(logits, text, image), held_out, teacher)

    def pick(self, content: Sequence[str]) -> Outputs[NDArray[np.float32]]:
        """The outputs for M examples, in the order of `content`. Raises RunError when one is not covered."""
        rows = self._rows(content)
        return self.outputs.map(lambda array: array[rows])

    def unseen(self, content: Sequence[str]) -> NDArray[np.bool_]:
        """bool (M,): which of these examples the teacher was not trained on. Raises RunError as `pick`."""
        return self.held_out[self._rows(content)]

    def joined(self, other: SoftTargets) -> SoftTargets:
        """Both, of one teacher."""
        return SoftTargets(
            ids=self.ids + other.ids,
            content=self.content + other.content,
            labels=self.labels,
            outputs=Outputs(
                np.concatenate([self.outputs.logits, other.outputs.logits]),
                np.concatenate([self.outputs.text, other.outputs.text]),
                np.concatenate([self.outputs.image, other.outputs.image]),
            ),
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
    logits: NDArray[np.float32] = np.stack([part.logits for part in parts]).mean(axis=0, dtype=np.float32)
    name = dict(zip(first.content, first.ids, strict=True))
    return SoftTargets(
        ids=tuple(name[c] for c in content),
        content=tuple(content),
        labels=first.labels,
        outputs=parts[0] if len(parts) == 1 else Outputs(logits, none, none),
        held_out=unseen,
        teacher_sha256="+".join(teacher.teacher_sha256 for teacher in teachers),
    )
