"""Reads datasets: files of rows to Examples and Splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.columns import Columns, is_pandas_index, list_columns
from distill.data.examples import MAX_TEXT as MAX_TEXT
from distill.data.examples import Example as Example
from distill.data.examples import encode_targets as encode_targets
from distill.data.examples import examples_to_json as examples_to_json
from distill.data.examples import relative_path as relative_path
from distill.data.examples import without_images as without_images
from distill.data.examples import without_texts as without_texts
from distill.data.formats.folders import ALL, Part, find_parts
from distill.data.formats.open_table import SUFFIXES as SUFFIXES
from distill.data.formats.other_content import OTHER_SUFFIXES, refuse_other_content
from distill.data.groups import NONE_ASKED, AskedGroups, GroupError
from distill.data.labelling.separators import several_in_one
from distill.data.labels import LABEL_FILES, LabelSet
from distill.data.roles import Ask
from distill.data.rows import OpenRows, open_rows, read_slowly

SPLIT_NAMES = {"train": ("train",), "dev": ("dev", "val", "validation"), "test": ("test",)}


@dataclass(frozen=True)
class Splits:
    """A dataset divided into train, dev and test, which may be empty; `unlabelled` are training examples of which
    no label is known. `columns` is what was said of the columns, and `read_as` how the files were read, see
    `OpenRows.read_as`."""

    labels: LabelSet
    train: list[Example]
    dev: list[Example]
    test: list[Example]
    unlabelled: list[Example] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    read_as: tuple[str, ...] = field(default=(), compare=False)

    def examples(self, name: str) -> list[Example]:
        """The examples of a split. Raises DataError if it is empty or unknown."""
        if name not in SPLIT_NAMES:
            raise DataError(f"unknown split {name!r}; expected {', '.join(SPLIT_NAMES)}")
        examples: list[Example] = getattr(self, name)
        if not examples:
            raise DataError(f"the dataset has no {name} split; add {name}.json, {name}.jsonl or {name}.csv")
        return examples

    def measured(self) -> str:
        """The split that measurements take by default: test if it has labels, else dev."""
        return "test" if any(example.labels for example in self.test) else "dev"

    def with_known_labels(self) -> Splits:
        """Without the examples of which no label is known; those of train move to `unlabelled`, and a test split
        of which none is known, as where they are kept secret, stays whole."""
        train, dev, test = ([e for e in part if e.labels is not None] for part in (self.train, self.dev, self.test))
        unlabelled = [*self.unlabelled, *(e for e in self.train if e.labels is None)]
        return replace(self, train=train, dev=dev, test=test or self.test, unlabelled=unlabelled)


def read_splits(
    source: Path,
    labels: LabelSet | None = None,
    columns: Columns | None = None,
    remembered: Columns | None = None,
    groups: AskedGroups | None = None,
) -> Splits:
    """Read a folder with train, dev and perhaps test files, or one file, which is split 70/15/15.

    The label set is `labels` (that of an existing run), else labels.txt or techniques.txt beside the data, else the
    labels of the training rows. `columns` are those that the user names, and `remembered` those of a run, see
    `Ask`. `groups` are of labels that exclude each other, for a label set without any. Raises DataError.
    """
    ask = Ask(columns or Columns(), remembered or Columns(), labels, groups=groups or NONE_ASKED)
    try:
        return _read_splits(source, ask)
    except GroupError:
        # Where a group has a label that no row has, as one that is misspelt, that is what is wrong.
        _read_splits(source, replace(ask, groups=NONE_ASKED)).labels.with_groups(ask.groups)
        raise


def _read_splits(source: Path, ask: Ask) -> Splits:
    labels, used = ask.labels, ask.columns.over(ask.remembered)
    parts = _parts_of(source, used)
    if ALL not in parts and "train" not in parts:
        raise DataError(f"{source}: no train split, only {', '.join(parts)}; `distill split` divides a file")
    known, read, before = labels or find_labels(source if source.is_dir() else source.parent), {}, ReadBefore()
    sorted_from = None
    for name in (ALL, *SPLIT_NAMES):
        asked = replace(ask, labels=known, sorted_from=sorted_from)
        read[name] = _read_parts(parts.get(name, ()), asked, before)
        if read[name] and not known:
            known = collect_labels(read[name], source, before)
            sorted_from = parts[name][0].path
    assert known is not None
    if ask.groups and not known.groups:
        known = known.with_groups(ask.groups)
    if read[ALL]:
        read |= _divided(read[ALL], ("train", "dev", "test"), known, source)
    elif not read["dev"]:
        say(source, ["no dev split: a part of train becomes dev, by a fixed seed"], before.notes)
        read |= _divided(read["train"], ("train", "dev"), known, source)
    read_as = tuple(f"{path}: {how}" for how, path in before.read_as.items())
    return Splits(known, read["train"], read["dev"], read["test"], columns=used, read_as=read_as)


def _parts_of(source: Path, said: Columns) -> Mapping[str, tuple[Part, ...]]:
    """The files and folders with the rows of each split, by what is `said` of columns. Raises DataError."""
    if not source.is_dir() and not source.is_file():
        raise DataError(f"{source}: no such file or folder; --data takes a folder with train.json, or one file")
    layout = find_parts(source, said)
    if not layout.parts:
        for file in sorted(source.iterdir()):
            if file.suffix.lower() in OTHER_SUFFIXES:
                refuse_other_content(file)
        raise DataError(
            f"{source}: no train.json, train.jsonl or train.csv, and no other form of dataset that is known (see "
            "docs/data.md); `distill split` divides a file"
        )
    if column := next((part.column for each in layout.parts.values() for part in each if part.column), ""):
        say(source, [f"splits are those that column {column!r} says"], set())
    if layout.left_out:
        say(source, [f"not read: {', '.join(str(file.relative_to(source)) for file in layout.left_out)}"], set())
    unread = f"not read as part of the dataset: {layout.unread}" * bool(layout.unread)
    for line in (unread, layout.doubt, *layout.gaps):
        if line:
            from distill.core.output.terminal import warn  # as in `say`

            warn(f"{source}: {line}")
    return layout.parts


def read_split(source: Path, name: str, ask: Ask | None = None) -> list[Example]:
    """The examples of one split of a folder, none if it has none. Raises DataError."""
    ask = ask or Ask()
    parts = _parts_of(source, ask.columns.over(ask.remembered))
    return _read_parts(parts.get(name, ()), ask, ReadBefore())


def _read_parts(parts: Sequence[Part], ask: Ask, before: ReadBefore) -> list[Example]:
    """The examples of a split. Raises DataError."""
    examples: list[Example] = []
    for part in parts:
        asked = replace(before.ask_next(ask), others=(*ask.others, part.column))
        opened = open_rows(part.path, asked, opened=part.open)
        examples += examples_of(opened, before, part.name)
    if len(parts) > 1:
        check_ids(examples, parts[0].path.parent)
    return examples


def _divided(
    rows: Sequence[Example], names: Sequence[str], labels: LabelSet, source: Path
) -> dict[str, list[Example]]:
    """Examples by split, in parts of the usual sizes. Raises DataError."""
    from distill.data.dividing.division import divide

    parts = divide(rows, labels, source, names=names)
    return {name: [rows[index] for index in part] for name, part in zip(names, parts, strict=True)}


@dataclass
class ReadBefore:
    """What the files of a dataset that were read before have said, the ids of their examples, the columns of labels
    of the first that has some, how they were read, with the first file that was read so, where a file without
    labels may have some, whether all names of labels stood in lists or are columns, each by itself, and what
    numbers in place of names are, with the last file that has some."""

    notes: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    labels: tuple[str, ...] = ()
    read_as: dict[str, Path] = field(default_factory=dict)
    label_hint: str = ""
    are_apart: bool = True
    numbers: dict[str, Path] = field(default_factory=dict)

    def take_numbers(self, numbers: str, path: Path) -> None:
        """Note what `numbers` in place of names are in a file. Raises DataError where they are something else in
        another."""
        for other, file in self.numbers.items():
            if numbers and numbers != other:
                raise DataError(
                    f"{path}: the numbers in place of names would be {numbers}, and those of {file} are {other}; "
                    "write names in both, or list other names in labels.txt"
                )
        if numbers:
            self.numbers[numbers] = path

    def ask_next(self, ask: Ask) -> Ask:
        """What to ask of the next file: it has the same columns of labels, or, as a test split may, none."""
        if not self.labels:
            return ask
        remembered = replace(ask.columns.over(ask.remembered), labels=self.labels)
        return replace(ask, columns=replace(ask.columns, labels=()), remembered=remembered)


def read_examples(path: Path, ask: Ask | None = None, before: ReadBefore | None = None) -> list[Example]:
    """All rows of a file. How its columns are read is printed, unless files `before` said the same.

    Raises DataError with the number of the first invalid row."""
    return examples_of(open_rows(path, ask or Ask()), before)


def examples_of(opened: OpenRows, before: ReadBefore | None = None, name: str = "") -> list[Example]:
    """The same of opened rows, whose ids have the `name` before them where it takes one to tell them apart."""
    path, before = opened.reader.path, before or ReadBefore()
    with closing(read_slowly(opened.rows, path, "reading")) as rows:
        pairs = [(number, opened.reader.read(row, number)) for number, row in rows]
    examples = [example for _, example in pairs]
    id_, notes = opened.reader.roles.id, opened.all_notes()
    if not id_:
        examples = _with_ids(pairs, opened.reader.ids_are_numbers, name or path.stem, before.ids)
    elif is_pandas_index(id_) and any(example.id in before.ids for example in examples):
        # The index is counted through in each file, and names no row of the dataset.
        examples = _with_ids(
            [(n, replace(row, id=str(n))) for n, row in pairs], True, name or path.stem, before.ids
        )
        notes = (*notes, f"its index {short_repr(id_)} has values of a file before it, so ids are the row numbers")
    check_ids(examples, path)
    say(path, notes, before.notes)
    before.read_as.setdefault(opened.read_as(), path)
    if opened.reader.roles.labels and not opened.published:
        before.labels = before.labels or opened.reader.roles.labels.columns
    if cells := opened.reader.roles.labels:
        before.are_apart &= cells.kind != "names" or cells.are_in_lists
        before.take_numbers(cells.numbers, path)
    before.label_hint = before.label_hint or opened.label_hint
    before.ids.update(example.id for example in examples)
    return examples


def say(path: Path, notes: Sequence[str], said: set[str]) -> None:
    """Print, as one note, those of the notes that were not said before."""
    from distill.core.output.terminal import note  # a device that measures a packed benchmark may lack it

    if new := [line for line in notes if line not in said]:
        note(f"{path}: {'; '.join(new)}")
        said.update(new)


def _with_ids(pairs: Sequence[tuple[int, Example]], are_numbers: bool, name: str, taken: set[str]) -> list[Example]:
    """The examples of a file without ids: by the names of their images, else by the numbers of the rows, after the
    name of the file where another file has the same."""
    ids = [example.id for _, example in pairs]
    if len(set(ids)) < len(ids):
        ids, are_numbers = [str(number) for number, _ in pairs], True
    if are_numbers or not taken.isdisjoint(ids):
        ids = [f"{name}-{id_}" for id_ in ids]
    return [replace(example, id=id_) for id_, (_, example) in zip(ids, pairs, strict=True)]


def check_ids(examples: Sequence[Example], path: Path) -> None:
    """Raise DataError for a file without rows, or with an id twice."""
    if not examples:
        raise DataError(f"{path}: has no rows")
    row_of: dict[str, int] = {}
    for number, example in enumerate(examples, 1):
        if example.id in row_of:
            rows = f"rows {row_of[example.id]} and {number}"
            raise DataError(f"{path}: {rows} have the same id {short_repr(example.id)}; ids must be unique")
        row_of[example.id] = number


def collect_labels(rows: Sequence[Example], source: Path, read: ReadBefore | None = None) -> LabelSet:
    """The labels that the rows of a file or folder name, in alphabetical order; a warning names those that may be
    several, by how they were `read`. Raises DataError, which names it and where there may be some if there are
    none."""
    if not any(row.labels for row in rows):
        step, hint = "give each its 'labels', a list of names", read.label_hint if read else ""
        raise DataError(
            f"{source}: none of its {len(rows)} training rows has a label; {step}{'; ' * bool(hint)}{hint}"
        )
    try:
        labels = LabelSet.collect(row.named_labels() for row in rows)
    except DataError as error:
        raise DataError(f"{source}: {error}") from error
    if several := several_in_one(labels.names, are_apart=read is not None and read.are_apart):
        from distill.core.output.terminal import warn  # a device that measures a packed benchmark may lack it

        warn(
            f"{source}: {list_columns(several)} may be several labels in one name; if so, give --label-separator "
            "or write a list of names; if not, list the names in labels.txt"
        )
    return labels


def find_labels(folder: Path) -> LabelSet | None:
    """The label set declared in a file beside the data, if there is one."""
    for name in LABEL_FILES:
        if (folder / name).is_file():
            return LabelSet.read(folder / name)
    return None
