"""The published forms of rows and of JSON files, and how their columns become distill's: found by content alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.untrusted import short_repr
from distill.data.columns import Columns
from distill.data.formats import (
    coco,
    hateful_memes,
    label_studio,
    mami,
    memotion,
    mmhs150k,
    semeval_2021,
    semeval_2024,
)
from distill.data.formats.table import NumberedRow, Table

Row = dict[str, Any]
FIRST_ROWS = 20  # among which one can be read
CANONICAL = Columns(id="id", text="text", image="image", labels=("labels",))


@dataclass(frozen=True)
class RowForm:
    """A form whose file is a plain table. `fits` knows its first row, or with `by_any_row` one of the first;
    `convert` puts a row of a file into the columns id, text, image and labels, and raises DataError or KeyError for
    one that it cannot."""

    name: str
    fits: Callable[[Mapping[str, Any]], bool]
    convert: Callable[[Path, Row], Row]
    image_folders: Callable[[Path], tuple[str, ...]]
    by_any_row: bool = False


@dataclass(frozen=True)
class TreeForm:
    """A form whose file is one JSON value. `fits` knows it; `rows` are its rows, with a DataError for one that it
    cannot read; `columns` are what they have."""

    name: str
    fits: Callable[[Any], bool]
    rows: Callable[[Any, Path], Iterator[Row | DataError]]
    image_folders: Callable[[Path], tuple[str, ...]]
    columns: Columns = CANONICAL
    describe: Callable[[Any, Path], str] = lambda tree, path: ""


def _split_images(path: Path) -> tuple[str, ...]:
    """train_images for train.json and memotion_train.csv, and how SemEval-2024 calls those of its splits."""
    split = path.stem.rpartition("_")[2]
    return (f"{split}_images", f"{path.stem}_images")


def _in(*folders: str) -> Callable[[Path], tuple[str, ...]]:
    return lambda path: folders


ROW_FORMS = (
    RowForm("Hateful Memes", hateful_memes.fits, hateful_memes.convert, _in("images")),
    RowForm("MAMI", mami.fits, mami.convert, _in("images", "img")),
    RowForm("Memotion", memotion.fits, memotion.convert, _split_images),
    RowForm("SemEval-2021 Task 6, subtask 2", semeval_2021.fits, semeval_2021.convert, _in(), by_any_row=True),
    RowForm("SemEval-2024 Task 4", semeval_2024.fits, semeval_2024.convert, _split_images),
)
FOUND = Columns(id="id", labels=("labels",))
TREE_FORMS = (
    TreeForm("COCO", coco.fits, coco.rows, coco.image_folders, describe=coco.describe),
    TreeForm("MMHS150K", mmhs150k.fits, mmhs150k.rows, _in(*mmhs150k.IMAGE_FOLDERS)),
    TreeForm(
        *("Label Studio JSON", label_studio.is_full, label_studio.full_rows, _in(*label_studio.IMAGE_FOLDERS)),
        *(FOUND, label_studio.describe),
    ),
    TreeForm(
        *("Label Studio JSON-MIN", label_studio.is_min, label_studio.min_rows, _in(*label_studio.IMAGE_FOLDERS)),
        *(FOUND, label_studio.describe),
    ),
)


def recognise(table: Table, path: Path) -> Table:
    """The table of the file `path`, with how its rows are converted if the first that can be read is of a published
    form."""
    if table.published:
        return table
    rows = iter(table.rows)
    first = list(itertools.islice(rows, FIRST_ROWS))
    rows = itertools.chain(first, rows)
    some = [row for _, row in first if isinstance(row, dict)]
    form = next((form for form in ROW_FORMS if any(map(form.fits, some if form.by_any_row else some[:1]))), None)
    if form is None:
        is_mmf = path.parent.name == "annotations"  # MMF and HarMeme have images/ beside it
        return replace(table, rows=rows, image_folders=_near(path, ("images",)) if is_mmf else table.image_folders)
    return replace(
        table,
        format=f"{form.name} ({table.format})",
        rows=rows,
        columns=CANONICAL,
        image_folders=(*table.image_folders, *_near(path, form.image_folders(path))),
        convert=partial(_converted, form, path),
        published=True,
    )


def _converted(form: RowForm, path: Path, row: Row) -> Row:
    """A row of a form in distill's columns. Raises DataError, which says what the file was taken for."""
    own = (
        f"the file was taken for {form.name}; to read its columns as they stand, name some, such as --label-columns"
    )
    try:
        return form.convert(path, row)
    except KeyError as error:
        raise DataError(f"has no {error}; {own}") from error
    except DataError as error:
        raise DataError(f"{error}; {own}") from error


def open_tree(tree: Any, path: Path) -> Table | None:
    """The table of a file's JSON value, None if it is of no published form."""
    form = next((form for form in TREE_FORMS if form.fits(tree)), None)
    if form is None:
        return None
    with _understood(form, path):
        name = form.name + form.describe(tree, path)
    return Table(
        name,
        _numbered(form, tree, path),
        form.columns,
        _near(path, form.image_folders(path)),
        published=True,
    )


def _numbered(form: TreeForm, tree: Any, path: Path) -> Iterator[NumberedRow]:
    with _understood(form, path):
        for number, row in enumerate(form.rows(tree, path), 1):
            yield number, DataError(f"{path}: row {number}: {row}") if isinstance(row, DataError) else row


@contextmanager
def _understood(form: TreeForm, path: Path) -> Iterator[None]:
    """Raise DataError for a file of a form that has values of other types than the form's."""
    try:
        yield
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else short_repr(str(error))
        raise DataError(f"{path}: begins as {form.name} and is not: {reason}") from error


def _near(path: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The file's folder, and folders of these names in it, in the one above it and in the one above that: releases
    keep their images apart from their annotations."""
    bases = (path.parent, path.parent.parent, path.parent.parent.parent)
    return tuple(dict.fromkeys((path.parent, *(base / name for base in bases for name in names))))
