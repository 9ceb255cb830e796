"""One folder of images per class, whose name is the label of every image in it; NAME.txt beside an image is its
text, as for predict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.core.errors import DataError
from distill.data.columns import Columns
from distill.data.formats.splits import is_report
from distill.data.formats.table import Table
from distill.data.image_names import IMAGE_SUFFIXES
from distill.data.text_beside import text_beside

CANONICAL = Columns(id="id", text="text", image="image", labels=("labels",))
NO_CLASSES = ("__pycache__", "__MACOSX")  # of programs


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones and those of programs. Raises DataError."""
    try:
        return sorted(
            each
            for each in folder.iterdir()
            if each.is_dir() and not each.name.startswith(".") and each.name not in NO_CLASSES
        )
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error


def has_images(folder: Path) -> bool:
    """Whether a folder holds an image itself."""
    return next(_images(folder), None) is not None


def is_of_classes(folder: Path, least: int = 2) -> bool:
    """Whether a folder is of this form: `least` folders or more, all of them with images, but for those that are
    empty or named after results."""
    classes = [each for each in folders(folder) if has_images(each)]
    others = [each for each in folders(folder) if each not in classes]
    return len(classes) >= least and all(is_report(each.name) or _is_empty(each) for each in others)


def _is_empty(folder: Path) -> bool:
    """Whether no file is in a folder or below, but for hidden ones."""
    return not any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*"))


def unread_images(folder: Path, base: Path) -> list[str]:
    """What holds images in a folder of classes and is of none: the folder itself, and folders in those of classes,
    by their paths within `base`."""
    loose = sum(1 for _ in _images(folder))
    inner = [each for label in folders(folder) for each in folders(label)]
    empty = [f"{each.relative_to(base)}/ (empty)" for each in folders(folder) if _is_empty(each)]
    return (
        empty
        + [f"{loose} image(s) in {folder.name}/, in no folder of a class"] * bool(loose)
        + images_below(inner, base)
    )


def images_below(below: list[Path], base: Path) -> list[str]:
    """Those of the folders that have images in them or below, by their paths within `base`, with their number."""
    counts = {each: sum(path.suffix.lower() in IMAGE_SUFFIXES for path in each.rglob("*")) for each in below}
    return [f"{each.relative_to(base)}/ ({count} image(s))" for each, count in counts.items() if count]


def open_classes(folder: Path, prefix: str = "") -> Table:
    """The images of all classes. An image's id is the prefix and its name within the folder."""
    return Table("one folder per class", _rows(folder, prefix), CANONICAL, (folder,), published=True)


def _rows(folder: Path, prefix: str) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    number = 0
    for label in folders(folder):
        for image in sorted(_images(label)):
            number += 1
            name = f"{label.name}/{image.name}"
            try:
                text = text_beside(image)
            except DataError as error:
                yield number, error
            else:
                yield number, {"id": prefix + name, "text": text, "image": name, "labels": [label.name]}


def _images(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
