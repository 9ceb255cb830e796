"""What lies in a dataset's folder beside what is read: it is refused where it is named after a split that is not
read, else it is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from distill.core.errors import DataError
from distill.data.columns import SYNONYMS, normal_name
from distill.data.formats.open_table import SUFFIXES
from distill.data.formats.other_content import OTHER_SUFFIXES
from distill.data.formats.splits import is_split_itself, name_words, split_of
from distill.data.formats.text import encoding_of, head

HEADER = 1 << 12  # bytes of a .txt file in which its columns are named
IMAGE_WORDS = frozenset(("image", "images", "img", "imgs", "photos", "pictures", "posters"))
UNLABELLED = frozenset(("unlabelled", "unlabeled"))
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
        split = split_of(path.stem) if is_near else _exact_split(path, folder)
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
    return len(names) > 1 and bool(names & (SYNONYMS["text"] | SYNONYMS["image"]))


def _exact_split(path: Path, folder: Path) -> str | None:
    """The split that a file, or else the nearest folder above it, is called, as test/test.jsonl is."""
    names = (path.stem, *reversed(path.relative_to(folder).parts[:-1]))
    return next((split_of(name) for name in names if is_split_itself(name)), None)


def _next_step(path: Path, is_near: bool, read: Collection[Path]) -> str:
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return f"call it {path.stem}.csv, or {path.stem}.tsv if tabs separate its columns"
    steps = [OTHER_SUFFIXES[suffix]] if suffix in OTHER_SUFFIXES else []
    return " and ".join([*steps, *([] if is_near else [f"move it beside {min(read).name}"])])
