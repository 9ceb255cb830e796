"""Datasets that are published as folders: where the rows of each split are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.storage.inputs import MAX_JSON, read_input
from distill.core.untrusted import is_file
from distill.data.columns import Columns
from distill.data.formats.beside import is_settings, name_unread
from distill.data.formats.class_folders import folders, images_below, is_of_classes, open_classes, unread_images
from distill.data.formats.mmhs150k import TEXT_FOLDER
from distill.data.formats.open_table import SUFFIXES, open_table
from distill.data.formats.other_content import OTHER_SUFFIXES
from distill.data.formats.split_column import SplitColumn, cell_of, find_split_column
from distill.data.formats.splits import WORDS, choose, gap_in, is_report, split_of
from distill.data.formats.table import Table
from distill.data.formats.text import head

NO_ROWS = ("dataset_infos.json", "dataset_dict.json", "state.json", "split.json", "metadata.json")
DEPTH = 3  # of folders: defaults/annotations/train.jsonl, en/train/0000.parquet
ALL = "all"  # the rows of a dataset that is not divided
METADATA = "metadata"
MMHS_IDS = {"train": "train_ids.txt", "dev": "val_ids.txt", "test": "test_ids.txt"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A file, or a folder of classes, with rows of a split: those that `keep` keeps. `name` distinguishes its ids
    from those of other parts, and `column` is the one by which rows are kept, if one is. Without `keep`, they are
    all rows."""

    path: Path
    name: str
    keep: Callable[[Row], bool] | None = None
    column: str = ""

    @classmethod
    def of(cls, path: Path) -> Part:
        """All of a file."""
        return cls(path, path.parent.name if path.stem == METADATA else path.stem)

    def open(self, path: Path, as_is: bool) -> Table:
        """Its table, see `open_table`. Raises DataError."""
        if path.is_dir():
            return open_classes(path, f"{self.name}/" * bool(self.name))
        table = open_table(path, as_is)
        keep, rows = self.keep, table.rows
        if keep is not None:
            rows = ((n, row) for n, row in rows if isinstance(row, DataError) or keep(row))
        form = table.format + " of a Hugging Face imagefolder" * (self.path.stem == METADATA)
        return replace(table, format=form, rows=rows)


@dataclass(frozen=True)
class Layout:
    """The parts of each split of a dataset by "train", "dev" and "test", or of all rows by "all", files in place of
    which others are read, what else is not read, in one line, what is doubtful of a division that is not used, and
    of numbers that a split's files leave out."""

    parts: Mapping[str, tuple[Part, ...]]
    left_out: tuple[Path, ...] = ()
    unread: str = ""
    doubt: str = ""
    gaps: tuple[str, ...] = ()


def find_parts(source: Path, said: Columns | None = None) -> Layout:
    """The parts of a dataset's folder or file, none if it holds no dataset. A file without splits is divided by its
    column that says where each row belongs, if it has one that is not `said` to be something else. Raises DataError
    if two files could be the same split, for a file that is named after a split and not read, and for a column of
    splits that names those of some rows alone."""
    layout = _layout_of(source) if source.is_dir() else Layout({ALL: (Part.of(source),)})
    part = layout.parts[ALL][0] if ALL in layout.parts else None
    column = find_split_column(part.path, said or Columns()) if part and not part.path.is_dir() else None
    parts = (_by_column(part, column) if part and column else {}) or layout.parts
    doubt = f"{column.doubt}: the rows are divided by chance" if column and column.doubt else ""
    return replace(layout, doubt=doubt, parts={name: parts[name] for name in (ALL, *WORDS) if name in parts})


def _by_column(part: Part, column: SplitColumn) -> dict[str, tuple[Part, ...]]:
    """The splits of a file by its column of their names."""

    def kept(split: str) -> Callable[[Row], bool]:
        return lambda row: column.splits.get(cell_of(row, column.name)) == split

    return {
        split: (Part(part.path, split, kept(split), column.name),)
        for split in WORDS
        if split in column.splits.values()
    }


def _layout_of(folder: Path) -> Layout:
    files = list(_files(folder, DEPTH))
    tables = [file for file in files if _may_be_read(file)]
    rows = [file for file in tables if not (_is_of_report(file, folder) or is_settings(file))]
    layout = _layout_of_tables(folder, rows)
    if not layout.parts and rows != tables:  # which may be all there is
        layout = _layout_of_tables(folder, tables)
    if not layout.parts:
        return layout
    read = {part.path for parts in layout.parts.values() for part in parts}
    beside = [file for file in files if file not in read and file not in layout.left_out]
    unread = name_unread(folder, beside, read, layout.parts)
    return replace(layout, unread=", ".join(filter(None, (unread, layout.unread))))


def _is_of_report(file: Path, folder: Path) -> bool:
    *above, _ = file.relative_to(folder).parts
    return any(map(is_report, (file.stem, *above)))


def _layout_of_tables(folder: Path, tables: list[Path]) -> Layout:
    levels: list[list[Path]] = [[] for _ in range(DEPTH + 1)]
    for file in tables:
        levels[len(file.relative_to(folder).parts) - 1].append(file)
    named = [_by_split(files, folder) for files in levels]
    with_train = next((by_split for by_split in named if "train" in by_split), None)
    if with_train is None:
        top = next((depth for depth, files in enumerate(levels) if files), 0)
        if not named[top]:
            parts = _undivided(folder, levels[top])
            read = {part.path for each in parts.values() for part in each}
            left_out = tuple(file for file in levels[top] if file not in read)
            return Layout(parts, left_out) if parts else _classes(folder)
        with_train = named[top]  # such as a test split alone
    chosen = {split: choose(with_train[split], split, folder) for split in WORDS if split in with_train}
    left_out = tuple(file for split in chosen for file in with_train[split] if file not in chosen[split])
    gaps = tuple(gap for split, paths in chosen.items() if (gap := gap_in(paths, split, folder)))
    return Layout({split: tuple(map(Part.of, paths)) for split, paths in chosen.items()}, left_out, gaps=gaps)


def _by_split(files: list[Path], folder: Path) -> dict[str, list[Path]]:
    by_split: dict[str, list[Path]] = {}
    for file in files:
        if split := _split_of(file, folder):
            by_split.setdefault(split, []).append(file)
    return by_split


def _split_of(file: Path, folder: Path) -> str | None:
    """The split after which a file, or else the nearest folder above it, is named."""
    parts = (file.stem, *reversed(file.relative_to(folder).parts[:-1]))
    return next((split for part in parts if (split := split_of(part))), None)


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Files that may hold rows, also in forms that are not read, down to `depth` folders. Raises DataError."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
    for entry in listed:
        path = Path(entry.path)
        if entry.name.startswith(".") or entry.name in (*NO_ROWS, TEXT_FOLDER):
            continue
        if entry.is_dir():
            if depth:
                yield from _files(path, depth - 1)
        elif path.suffix.lower() in (*SUFFIXES, *OTHER_SUFFIXES) or _is_split_in_txt(path):
            yield path


def _is_split_in_txt(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and split_of(path.stem) is not None


def _may_be_read(path: Path) -> bool:
    """Whether a file has a suffix that is read, or is rows in JSON under the name training_set_task3.txt, as
    SemEval-2021 has them."""
    if not _is_split_in_txt(path):
        return path.suffix.lower() in SUFFIXES
    return is_file(path) and head(path, 1) in (b"[", b"{")


def _undivided(folder: Path, files: list[Path]) -> dict[str, tuple[Part, ...]]:
    """The parts of a folder with one file for all splits, empty if it has none. Raises DataError for several."""
    if not files:
        return {}
    if len(files) > 1:  # Memotion 7k has its images' addresses beside its rows
        files = [file for file in files if open_table(file).published] or files
    if len(files) > 1:
        names = ", ".join(str(file.relative_to(folder)) for file in files[:3])
        raise DataError(
            f"{folder}: {names} could all be its rows; give the one that is, or call it train, and others dev "
            "or test"
        )
    file = files[0]
    ids = {split: file.parent / "splits" / name for split, name in MMHS_IDS.items()}
    if all(map(is_file, ids.values())):
        return {split: (Part(file, split, _with_id(path)),) for split, path in ids.items()}
    named = sorted({split for each in folders(file.parent) if (split := split_of(each.name))})
    if file.stem == METADATA and "train" in named:
        return {split: (Part(file, split, _in_folder_of(split)),) for split in named}
    return {ALL: (Part.of(file),)}


def _with_id(path: Path) -> Callable[[Row], bool]:
    ids = frozenset(read_input(path, MAX_JSON, DataError).decode("utf-8-sig").split())
    return lambda row: str(row.get("id")) in ids


def _in_folder_of(split: str) -> Callable[[Row], bool]:
    """Whether a row's image is in a folder of the split."""
    return lambda row: split_of(str(row.get("file_name")).partition("/")[0]) == split


def _classes(folder: Path) -> Layout:
    """The layout of a folder with a folder for each class, in the folders of its splits or without these."""
    if is_of_classes(folder):
        return Layout({ALL: (Part(folder, ""),)}, unread=", ".join(unread_images(folder, folder)))
    parts: dict[str, tuple[Part, ...]] = {}
    unread = []
    for each in folders(folder):
        split = split_of(each.name)
        if split and is_of_classes(each, 2 if split == "train" else 1):
            if split in parts:
                both = f"{parts[split][0].name} and {each.name}"
                raise DataError(f"{folder}: both {both} could be the {split} split; keep one")
            parts[split] = (Part(each, each.name),)
            unread += unread_images(each, folder)
        else:
            unread += images_below([each], folder)
    return Layout(parts, unread=", ".join(unread)) if "train" in parts else Layout({})
