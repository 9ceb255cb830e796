"""What lies in a dataset's folder beside what is read: it is refused where it is named after a split that is not
read, else it is named."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.core.storage.inputs import MAX_JSON, read_input
from distill.core.untrusted import parse_json
from distill.data.column_survey import Survey
from distill.data.columns import SYNONYMS, normal_name
from distill.data.formats.json_rows import is_json_lines
from distill.data.formats.open_table import SUFFIXES, open_table
from distill.data.formats.other_content import OTHER_SUFFIXES
from distill.data.formats.splits import is_report, is_split_itself, name_words, split_of
from distill.data.formats.text import encoding_of, head

HEADER = 1 << 12  # bytes of a .txt file in which its columns are named
IMAGE_WORDS = frozenset(("image", "images", "img", "imgs", "photos", "pictures", "posters"))
UNLABELLED = frozenset(("unlabelled", "unlabeled"))
TEXTS_OR_IMAGES = SYNONYMS["text"] | SYNONYMS["image"]
EVALUATION = frozenset(("eval", "evaluation", "evaluate"))
FIRST_ROWS = 20  # by which a file is known to hold texts or images
MAX_NAMED = 8


def name_unread(folder: Path, beside: Iterable[Path], read: Collection[Path], splits: Collection[str]) -> str:
    """The files `beside` those that are `read`, in one line, "" if there are none; of other folders than theirs,
    the folder at the top. `splits` are those that are read. Raises DataError for a file that is named after
    another."""
    places = {folder if path.is_dir() else path.parent for path in read}
    unread: Counter[str] = Counter()
    for path in beside:
        is_near = path.parent in places
        if _holds_images(path) or (path.suffix.lower() == ".txt" and not _is_table_in_txt(path)):
            continue
        split = _near_split(path) if is_near else _exact_split(path, folder)
        if split and split not in splits:
            raise DataError(
                f"{path}: is named after the {split} split, and not read: {_next_step(path, is_near, read)}; if it "
                "is none, rename it"
            )
        within = path.relative_to(folder)
        hint = " (which --unlabelled reads)" if UNLABELLED & set(name_words(path.stem)) else ""
        unread[f"{within if is_near or len(within.parts) == 1 else within.parts[0]}{hint}"] += 1
    names = [f"{name} ({count} files)" if count > 1 else name for name, count in unread.items()]
    more = f", and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _holds_images(path: Path) -> bool:
    """Whether an archive is named after the images in it, as train_images.zip is."""
    return path.suffix.lower() not in (*SUFFIXES, ".txt") and bool(IMAGE_WORDS & set(name_words(path.name)))


def _is_table_in_txt(path: Path) -> bool:
    """Whether a .txt file called like a split, and not one of ids or of text, has columns of texts or images."""
    if not is_split_itself(path.stem):
        return False
    header = head(path, HEADER).decode(encoding_of(path), "replace").partition("\n")[0]
    names = {normal_name(name.strip('" \r')) for name in header.replace(",", "\t").split("\t")}
    return len(names) > 1 and bool(names & TEXTS_OR_IMAGES)


def _near_split(path: Path) -> str | None:
    """The split that a file is named after; None for what a program writes of one."""
    return None if is_report(path.stem) or is_settings(path) else split_of(path.stem)


def _exact_split(path: Path, folder: Path) -> str | None:
    """The split that a file, or else the nearest folder above it, is called, as test/test.jsonl is; None for one
    without texts or images."""
    names = (path.stem, *reversed(path.relative_to(folder).parts[:-1]))
    if any(map(is_report, names)) or not any(map(is_split_itself, names)) or not _may_hold_rows(path):
        return None
    return next((split_of(name) for name in names if is_split_itself(name)), None)


def _may_hold_rows(path: Path) -> bool:
    """Whether a file has texts or images, as far as it can be read."""
    if path.suffix.lower() not in SUFFIXES:
        return True
    if _is_object_without_rows(path):
        return False
    try:
        survey = Survey.of(itertools.islice(open_table(path).rows, FIRST_ROWS), path)
    except DataError:
        return True
    columns = survey.columns.items()
    return not survey.rows or any(
        normal_name(name) in TEXTS_OR_IMAGES or column.holds("text") or column.holds("image")
        for name, column in columns
    )


def is_settings(path: Path) -> bool:
    """Whether a JSON file is called after an evaluation, and holds settings or measurements."""
    return not EVALUATION.isdisjoint(name_words(path.stem)) and _is_object_without_rows(path)


def _is_object_without_rows(path: Path) -> bool:
    if path.suffix.lower() != ".json" or is_json_lines(path):
        return False
    try:
        tree = parse_json(read_input(path, MAX_JSON, DataError).decode(encoding_of(path)), str(path), DataError)
    except (DataError, UnicodeDecodeError):
        return False  # reported where it is read
    return isinstance(tree, dict) and not any(map(_is_of_rows, (tree, *tree.values())))


def _is_of_rows(tree: Any) -> bool:
    """Whether a part of a JSON file is rows, one of them, or columns of texts or images."""
    if isinstance(tree, list):
        return any(isinstance(each, dict) for each in tree)
    return isinstance(tree, dict) and any(normal_name(name) in TEXTS_OR_IMAGES for name in tree)


def _next_step(path: Path, is_near: bool, read: Collection[Path]) -> str:
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return f"call it {path.stem}.csv, or {path.stem}.tsv if tabs separate its columns"
    steps = [OTHER_SUFFIXES[suffix]] if suffix in OTHER_SUFFIXES else []
    return " and ".join([*steps, *([] if is_near else [f"move it beside {min(read).name}"])])
