"""Soft targets on disk (.npz): a teacher's logits and features, all that a student needs of its teacher."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.storage.files import write_bytes
from distill.data.answers import TeacherAnswers
from distill.data.checks import content_hash
from distill.data.dataset import Example
from distill.data.groups import LabelGroup
from distill.data.labels import LabelSet
from distill.model.outputs import Outputs
from distill.scoring.calibration import Calibration


@dataclass(frozen=True)
class SoftTargets:
    """`outputs` of a teacher for the examples `ids`, logits in the order of `labels`. They are NaN where answers of
    other origin (`TeacherAnswers`) say nothing, and never in a file.

    `content_hashes` are the examples' hashes over text and image, by which they are looked up. `held_out_mask` bool
    (N,) marks the examples that the teacher was not trained on: a fold's, or none. `teacher_sha256` is the
    fingerprint of its weights. Labels of `groups` exclude each other: their logits are those of a softmax.
    """

    ids: tuple[str, ...]
    content_hashes: tuple[str, ...]
    labels: tuple[str, ...]
    outputs: Outputs[NDArray[np.float32]]
    held_out_mask: NDArray[np.bool_]
    teacher_sha256: str
    groups: tuple[LabelGroup, ...] = ()

    def write(self, path: Path) -> None:
        """Write one .npz file without pickles; features are stored as float16. Raises OutputError."""
        buffer = io.BytesIO()
        groups = {group.name: group.labels for group in self.groups}
        extra: dict[str, Any] = {"groups": np.array(json.dumps(groups))} if groups else {}
        np.savez(
            buffer,
            ids=np.array(self.ids, dtype=np.str_),
            content=np.array(self.content_hashes, dtype=np.str_),
            labels=np.array(self.labels, dtype=np.str_),
            logits=self.outputs.logits.astype(np.float32),
            text=self.outputs.text.astype(np.float16),
            image=self.outputs.image.astype(np.float16),
            held_out=self.held_out_mask,
            teacher_sha256=np.array(self.teacher_sha256),
            **extra,
        )
        write_bytes(path, buffer.getvalue())

    def calibrated(self, calibration: Calibration) -> SoftTargets:
        """With calibrated logits."""
        logits = calibration.apply(self.outputs.logits).astype(np.float32)
        return replace(self, outputs=replace(self.outputs, logits=logits))

    def with_logits(self, of_hash: Mapping[str, NDArray[np.float32]]) -> SoftTargets:
        """With the logits (L,) of these content hashes in place of its own."""
        logits = self.outputs.logits.copy()
        for row, hash_ in enumerate(self.content_hashes):
            if hash_ in of_hash:
                logits[row] = of_hash[hash_]
        return replace(self, outputs=replace(self.outputs, logits=logits))

    @classmethod
    def read(cls, path: Path) -> SoftTargets:
        """Read what `write` wrote. Raises RunError for a file that is absent, damaged or of another form."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                ids, content_hashes, labels = (tuple(map(str, file[name])) for name in ("ids", "content", "labels"))
                logits, text, image = (file[name].astype(np.float32) for name in ("logits", "text", "image"))
                held_out_mask, sha256 = file["held_out"].astype(bool), str(file["teacher_sha256"])
                named = json.loads(str(file["groups"])) if "groups" in file else {}
                groups = LabelSet(labels, tuple(LabelGroup(g, tuple(of)) for g, of in named.items())).groups
        except Exception as error:  # zip, zlib and numpy each have errors of their own
            raise RunError(
                f"{path}: not readable as soft targets ({error}); run distill train-teacher again"
            ) from error
        lengths = {len(ids), len(content_hashes), len(text), len(image), len(held_out_mask)}
        finite = all(np.isfinite(array).all() for array in (logits, text, image))
        misshapen = text.ndim != 2 or image.ndim != 2 or held_out_mask.ndim != 1 or len(lengths) != 1
        if logits.shape != (len(ids), len(labels)) or misshapen or not finite:
            raise RunError(
                f"{path}: {logits.shape} logits for {len(ids)} ids and {len(labels)} labels, or not finite, or the "
                "features are not 2-dimensional; run distill train-teacher again"
            )
        return cls(ids, content_hashes, labels, Outputs(logits, text, image), held_out_mask, sha256, groups)

    @classmethod
    def from_answers(cls, answers: TeacherAnswers, examples: Sequence[Example]) -> SoftTargets:
        """What a file says of these examples, without features. Examples of one content have the mean of what it
        says of each."""
        hashes = [content_hash(example) for example in examples]
        row_of = {hash_: row for row, hash_ in enumerate(dict.fromkeys(hashes))}
        id_of = dict(zip(reversed(hashes), (example.id for example in reversed(examples)), strict=True))
        sums, counts = (np.zeros((len(row_of), len(answers.labels)), dtype=np.float32) for _ in range(2))
        logits = answers.logits()
        for hash_, example in zip(hashes, examples, strict=True):
            if example.id in answers.row_of:
                row, said = row_of[hash_], logits[answers.row_of[example.id]]
                sums[row] += np.nan_to_num(said)
                counts[row] += ~np.isnan(said)
        no_features = np.zeros((len(row_of), 0), dtype=np.float32)
        return cls(
            ids=tuple(id_of[hash_] for hash_ in row_of),
            content_hashes=tuple(row_of),
            labels=answers.labels.names,
            outputs=Outputs(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), no_features, no_features),
            held_out_mask=np.zeros(len(row_of), dtype=bool),
            teacher_sha256=answers.file.sha256,
            groups=answers.labels.groups,
        )

    def with_answers(self, answers: SoftTargets, teachers: int) -> SoftTargets:
        """These, the mean of `teachers`, with `answers` as one teacher more where it has any: the mean of all
        logits. The features stay."""
        own, said = self.outputs.logits, answers.select(self.content_hashes).logits
        mean = (own * teachers + said) / np.float32(teachers + 1)
        logits = np.where(np.isnan(said), own, mean)
        return replace(
            self,
            outputs=replace(self.outputs, logits=logits),
            teacher_sha256=f"{self.teacher_sha256}+{answers.teacher_sha256}",
        )

    def select(self, content_hashes: Sequence[str]) -> Outputs[NDArray[np.float32]]:
        """The outputs for the M examples of these hashes, in this order. Raises RunError if one is missing."""
        rows = self._rows(content_hashes)
        return self.outputs.map(lambda array: array[rows])

    def unseen(self, content_hashes: Sequence[str]) -> NDArray[np.bool_]:
        """bool (M,): which of these examples the teacher was not trained on. Raises RunError as `select`."""
        return self.held_out_mask[self._rows(content_hashes)]

    def concatenate(self, more: SoftTargets) -> SoftTargets:
        """These and `more` of the same teacher."""
        return replace(
            self,
            ids=self.ids + more.ids,
            content_hashes=self.content_hashes + more.content_hashes,
            outputs=Outputs(
                np.concatenate([self.outputs.logits, more.outputs.logits]),
                np.concatenate([self.outputs.text, more.outputs.text]),
                np.concatenate([self.outputs.image, more.outputs.image]),
            ),
            held_out_mask=np.concatenate([self.held_out_mask, more.held_out_mask]),
        )

    def _rows(self, content_hashes: Sequence[str]) -> NDArray[np.int64]:
        row = {hash_: index for index, hash_ in enumerate(self.content_hashes)}
        missing = [hash_ for hash_ in content_hashes if hash_ not in row]
        if missing:
            raise RunError(f"soft targets cover {len(row)} examples, but not {len(missing)} of those asked for")
        return np.array([row[hash_] for hash_ in content_hashes], dtype=np.int64)


def held_out_logits(folds: Iterable[SoftTargets]) -> dict[str, NDArray[np.float32]]:
    """Of each example, by its content hash, the logits (L,) of the fold's teacher that was not trained on it."""
    return {
        fold.content_hashes[row]: fold.outputs.logits[row]
        for fold in folds
        for row in np.flatnonzero(fold.held_out_mask)
    }


def average_teachers(teachers: Sequence[SoftTargets], content_hashes: Sequence[str]) -> SoftTargets:
    """An ensemble's soft targets for the examples of these hashes: the mean of the teachers' logits.

    Features of different encoders cannot be averaged, so with more than one teacher they have a width of 0.
    Raises RunError if the teachers differ in their labels or in what they were not trained on.
    """
    first = teachers[0]
    if any(teacher.labels != first.labels for teacher in teachers):
        raise RunError("the teachers have different labels; an ensemble needs one label set in one order")
    if any(teacher.groups != first.groups for teacher in teachers):
        raise RunError("the teachers have different groups of labels; train them with the same")
    unseen = first.unseen(content_hashes)
    if any((teacher.unseen(content_hashes) != unseen).any() for teacher in teachers):
        raise RunError("the teachers' folds differ; train them with the same teacher.folds and teacher.seed")
    outputs = [teacher.select(content_hashes) for teacher in teachers]
    no_features = np.zeros((len(content_hashes), 0), dtype=np.float32)
    logits: NDArray[np.float32] = np.stack([part.logits for part in outputs]).mean(axis=0, dtype=np.float32)
    id_of = dict(zip(first.content_hashes, first.ids, strict=True))
    return SoftTargets(
        ids=tuple(id_of[c] for c in content_hashes),
        content_hashes=tuple(content_hashes),
        labels=first.labels,
        outputs=outputs[0] if len(outputs) == 1 else Outputs(logits, no_features, no_features),
        held_out_mask=unseen,
        teacher_sha256="+".join(teacher.teacher_sha256 for teacher in teachers),
        groups=first.groups,
    )
