"""Answers in place of a teacher's run: a probability or logit for each post and label, from whoever gave it.

They come from a vision-language model, another toolkit, annotators or an ensemble (docs/teach-from-anything.md).
Several rows of one id are votes, and their mean is its answer.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import DataError
from distill.core.output.terminal import track
from distill.core.storage.files import sha256_of
from distill.core.storage.inputs import open_input
from distill.core.untrusted import short_repr
from distill.data.answer_rows import SUFFIXES, AnswerRow, Scale, iter_answer_rows, to_number
from distill.data.dataset import Example, Splits, encode_targets
from distill.data.labels import LabelSet

MIN_PROBABILITY = 1e-4  # 0 and 1 have no logit; a Predictor rounds to as many digits
MAX_LOGIT = 1000.0
SUM_SLACK = 0.01  # by which a group's probabilities may miss 1, as rounded ones do
MAX_LISTED = 5  # labels or ids that an error names


@dataclass(frozen=True)
class AnswersFile:
    """A file of answers that can be read; `scale` is what its user says of the values, None if nothing."""

    path: Path
    scale: Scale | None
    sha256: str

    @classmethod
    def open(cls, path: Path, scale: Scale | None = None) -> AnswersFile:
        """Raises DataError for a file that is absent or has another suffix."""
        if path.suffix not in SUFFIXES:
            raise DataError(f"{path}: the suffix of a file of answers must be one of {', '.join(SUFFIXES)}")
        open_input(path, DataError).close()
        return cls(path, scale, sha256_of(path))

    def read(self, labels: LabelSet) -> TeacherAnswers:
        """Read every row. Raises DataError for a value or row that makes no sense, a label of the set without
        answers or one outside of it, and values that may be something else than probabilities or logits."""
        tally = _Tally(self.path, labels)
        for row in track(iter_answer_rows(self.path, labels.names), "reading answers", None):
            tally.add(row)
        votes, values = tally.votes_and_means()
        stated = {scale for scale in (self.scale, *tally.scales) if scale is not None}
        if len(stated) > 1:
            raise DataError(f"{self.path}: is said to hold both probabilities and logits; keep to one of them")
        scale = stated.pop() if stated else _recognise(self.path, tally.numbers)
        tally.check_range(scale)
        return TeacherAnswers(self, labels, tuple(tally.row_of), values, votes, scale)


@dataclass(frozen=True)
class TeacherAnswers:
    """`values` float64 (N, L) on the `scale` of the file, in the order of `labels`, NaN where there is no answer;
    each is the mean of as many votes as `votes` int64 (N, L) counts."""

    file: AnswersFile
    labels: LabelSet
    ids: tuple[str, ...]
    values: NDArray[np.float64]
    votes: NDArray[np.int64]
    scale: Scale

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id that has any answer."""
        rows = np.flatnonzero(self.votes.sum(axis=1))
        return {self.ids[row]: int(row) for row in rows}

    def logits(self) -> NDArray[np.float32]:
        """float32 (N, L), NaN where there is no answer; probabilities are kept MIN_PROBABILITY from 0 and 1.

        In a group of labels that exclude each other they are logits of its softmax, so that probabilities that do
        not add up to 1 do so after it; NaN for all of them where one has no answer."""
        groups, values = self.labels.group_columns, self.values.copy()
        for columns in groups.values():
            incomplete = np.isnan(values[:, columns]).any(axis=1, keepdims=True)
            values[:, columns] = np.where(incomplete, np.nan, values[:, columns])
        if self.scale == "logits":
            return values.astype(np.float32)
        p = np.clip(values, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        logits = np.log(p) - np.log1p(-p)
        for columns in groups.values():
            logits[:, columns] = np.log(p[:, columns])
        return logits.astype(np.float32)

    def _group_warnings(self) -> list[str]:
        """What is done to answers that do not fit the groups of labels."""
        lines = []
        for name, columns in self.labels.group_columns.items():
            own = self.values[:, columns]
            partly = np.isnan(own).any(axis=1) & ~np.isnan(own).all(axis=1)
            if partly.any():
                lines.append(
                    f"{self.file.path}: {partly.sum()} ids have answers for some labels of the group {name!r} "
                    "alone, which are not used: a share of one label says nothing without the others"
                )
            sums = own[~np.isnan(own).any(axis=1)].sum(axis=1)
            if self.scale == "probabilities" and (off := np.abs(sums - 1) > SUM_SLACK).any():
                lines.append(
                    f"{self.file.path}: the probabilities of the group {name!r} add up to {sums.min():.2f} to "
                    f"{sums.max():.2f}; those of {off.sum()} ids are divided by their sum, so that it is 1"
                )
        return lines

    def describe(self) -> str:
        """One line: what was understood of the file."""
        line = f"{self.file.path}: {self.scale} of {len(self.labels)} labels for {len(self.row_of)} ids"
        most = self.votes.max(axis=1)
        if (several := most[most > 1]).size:
            each = f"{several.min()}" if several.min() == several.max() else f"{several.min()} to {several.max()}"
            line += f"; {several.size} of them have {each} answers, and learn their mean"
        if empty := len(self.ids) - len(self.row_of):
            line += f"; {empty} more have none"
        return line

    def describe_use(self, splits: Splits, unlabelled: Sequence[Example]) -> str:
        """One line: whom the answers teach in training, and how. Raises DataError if that is nobody."""
        examples = [*splits.train, *unlabelled]
        rows = [(self.row_of[e.id], e) for e in examples if e.id in self.row_of]
        if not rows:
            raise DataError(
                f"{self.file.path}: none of its ids, such as {_first_few(self.ids)}, is one of the "
                f"{len(examples)} training rows, such as {_first_few([e.id for e in examples])}"
            )
        targets = encode_targets([example for _, example in rows], self.labels)
        given = self.values[[row for row, _ in rows]]
        taught = (
            f"{self.file.path}: teaches {len(rows)} of {len(examples)} training rows; used as it is, not calibrated"
        )
        both = ~np.isnan(targets) & ~np.isnan(given)
        if self.scale == "probabilities" and both.any():
            taught += (
                f" (mean {given[both].mean():.3f}, where {targets[both].mean():.3f} of the labels are positive)"
            )
        extremes = (given < MIN_PROBABILITY) | (given > 1 - MIN_PROBABILITY)
        if self.scale == "probabilities" and extremes.any():
            taught += f", {extremes.sum()} values moved from 0 or 1 by up to {MIN_PROBABILITY:g}"
        return taught

    def warnings(self, splits: Splits, unlabelled: Sequence[Example]) -> list[str]:
        """What may be a mistake. Raises DataError for an id that has an answer and names two posts."""
        counts = Counter(e.id for part in (splits.train, splits.dev, splits.test, unlabelled) for e in part)
        if doubled := [id_ for id_ in self.row_of if counts[id_] > 1]:
            raise DataError(
                f"{self.file.path}: the id {short_repr(doubled[0])} names a row of the dataset and an unlabelled "
                "one; give the unlabelled rows other ids"
            )
        strangers = [id_ for id_ in self.ids if id_ not in counts]
        if not strangers:
            return self._group_warnings()
        return [
            *self._group_warnings(),
            f"{self.file.path}: {len(strangers)} of its {len(self.ids)} ids are of no row that is used: "
            f"{_first_few(strangers)}",
        ]


class _Tally:
    """Collects values as (row, column, number), which needs as much memory for one long table as for a wide one."""

    def __init__(self, path: Path, labels: LabelSet) -> None:
        self.path, self.labels = path, labels
        self.column_of = {name: column for column, name in enumerate(labels.names)}
        self.row_of: dict[str, int] = {}
        self.rows, self.columns, self.numbers = array("q"), array("i"), array("d")
        self.scales: set[Scale] = set()
        self.strangers: dict[str, None] = {}  # labels outside the set, in order
        self.by_annotator: set[tuple[str, str, str]] = set()

    def add(self, row: AnswerRow) -> None:
        """Raises DataError for a value that is none, and for the second of one annotator."""
        number = self.row_of.setdefault(row.id, len(self.row_of))
        if row.scale is not None:
            self.scales.add(row.scale)
        values = dict.fromkeys(self.labels.names) if row.is_failed else row.values
        for label, value in values.items():
            column = self.column_of.get(label)
            if column is None:
                self.strangers[label] = None
                continue
            if row.annotator is not None:
                vote = (row.id, row.annotator, label)
                if vote in self.by_annotator:
                    who = f"annotator {short_repr(row.annotator)}"
                    raise DataError(f"{row.where}: a second answer of {who} for id {short_repr(row.id)}; keep one")
                self.by_annotator.add(vote)
            self.rows.append(number)
            self.columns.append(column)
            self.numbers.append(to_number(value, row.where, label))

    def votes_and_means(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Of each id and label: the number of answers, int64 (N, L), and their mean, float64 (N, L). Raises
        DataError for labels that are missing or in excess, and for a file without any answer."""
        shape = (len(self.row_of), len(self.labels))
        cells = np.asarray(self.rows) * shape[1] + np.asarray(self.columns)
        numbers = np.asarray(self.numbers)
        known = ~np.isnan(numbers)
        self._check_labels(np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape) > 0)
        votes = np.bincount(cells[known], minlength=shape[0] * shape[1]).reshape(shape)
        if not votes.any():
            raise DataError(f"{self.path}: holds no answer")
        sums = np.bincount(cells[known], numbers[known], shape[0] * shape[1]).reshape(shape)
        return votes, np.where(votes > 0, sums / np.maximum(votes, 1), np.nan)

    def _check_labels(self, named: NDArray[np.bool_]) -> None:
        """`named` bool (N, L) are the labels that each id's rows have, with an answer or without."""
        if not len(named):
            raise DataError(f"{self.path}: has no rows")
        missing = [name for name, some in zip(self.labels.names, named.sum(axis=0), strict=True) if not some]
        faults = [f"has no answers for the labels {_first_few(missing)}"] if missing else []
        if self.strangers:
            faults.append(f"has answers for {_first_few(list(self.strangers))}, which the dataset has not")
        if faults:
            raise DataError(
                f"{self.path}: {' and '.join(faults)}; rename, add or remove them, so that it has an id and the "
                f"dataset's {len(self.labels)} labels"
            )
        rows, columns = np.nonzero(~named)
        if rows.size:
            id_, label = list(self.row_of)[rows[0]], self.labels.names[columns[0]]
            raise DataError(
                f"{self.path}: id {short_repr(id_)} lacks the label {short_repr(label)}; give it a value, or null "
                "(in CSV nothing) where there is no answer"
            )

    def check_range(self, scale: Scale) -> None:
        """Raise DataError for the first value out of the range of probabilities or logits."""
        low, high = (0.0, 1.0) if scale == "probabilities" else (-MAX_LOGIT, MAX_LOGIT)
        numbers = np.asarray(self.numbers)
        outside = np.flatnonzero((numbers < low) | (numbers > high))
        if outside.size:
            id_, label = list(self.row_of)[self.rows[outside[0]]], self.labels.names[self.columns[outside[0]]]
            raise DataError(
                f"{self.path}: id {short_repr(id_)}, {short_repr(label)}: {scale} must be {low:g} to {high:g}, got "
                f"{numbers[outside[0]]:g}"
            )


def _recognise(path: Path, values: array[float]) -> Scale:
    """Whether these are probabilities or logits. Raises DataError where they may be percentages, grades, cosines,
    codes such as -1, or logarithms of probabilities."""
    numbers = np.asarray(values)
    numbers = numbers[~np.isnan(numbers)]
    low, high = numbers.min(), numbers.max()
    if low >= 0 and high <= 1:
        return "probabilities"
    if low < 0 < high and max(-low, high) > 1 and (numbers != np.round(numbers)).any():
        return "logits"
    raise DataError(
        f"{path}: values from {low:g} to {high:g} are no probabilities, and may be something else than logits; say "
        "--answers-are logits if they are, or turn them into probabilities from 0 to 1"
    )


def _first_few(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(map(short_repr, names[:MAX_LISTED])) + more
