"""A teacher's logits on disk: all that a student knows of its teacher. Knows arrays and ids, not models."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from distill.errors import RunError
from distill.files import write_bytes


@dataclass(frozen=True)
class SoftTargets:
    """`logits` float32 (N, L) of the examples `ids`, by the teacher whose weights have this SHA-256.

    `content` names what the teacher saw of each example (a hash over text and picture).
    """

    ids: tuple[str, ...]
    content: tuple[str, ...]
    labels: tuple[str, ...]
    logits: NDArray[np.float32]
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
            teacher_sha256=np.array(self.teacher_sha256),
        )
        write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> SoftTargets:
        """Raises RunError for a file that is absent, damaged or of another form."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                ids, content, labels = (tuple(map(str, file[name])) for name in ("ids", "content", "labels"))
                logits, teacher = file["logits"], str(file["teacher_sha256"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise RunError(
                f"{path}: not readable as soft targets ({error}); run distill train-teacher again"
            ) from error
        if logits.shape != (len(ids), len(labels)) or len(content) != len(ids) or not np.isfinite(logits).all():
            raise RunError(
                f"{path}: {logits.shape} logits for {len(ids)} ids and {len(labels)} labels, or not finite"
            )
        return cls(ids, content, labels, logits.astype(np.float32), teacher)

    def covers(self, content: Sequence[str]) -> bool:
        """Whether every one of these examples was seen by the teacher, text and picture alike."""
        return set(content) <= set(self.content)

    def pick(self, content: Sequence[str]) -> NDArray[np.float32]:
        """float32 (M, L) in the order of `content`. Raises RunError when one is not covered."""
        row = {name: index for index, name in enumerate(self.content)}
        missing = [name for name in content if name not in row]
        if missing:
            raise RunError(f"soft targets cover {len(row)} examples, but not {len(missing)} of those asked for")
        return self.logits[[row[name] for name in content]]
