"""The images of a folder, and what else is there and is passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distill.core.untrusted import is_file
from distill.data.image_names import IMAGE_SUFFIXES

MAX_NAMED = 4  # suffixes, or folders, that are named


@dataclass(frozen=True)
class ImageFolder:
    """Images in order, and one line about what is passed over, None if nothing is."""

    images: tuple[Path, ...]
    passed_over: str | None


def find_images(folder: Path, recursive: bool) -> ImageFolder:
    """The images in a folder or, if `recursive`, also in those below it; links to folders are not followed. Names
    that begin with a dot are no one's pictures. Raises OSError."""
    paths = list(_walk(folder, recursive))
    # What has an image's suffix but is not one becomes a FailedRow: it is not skipped.
    images = tuple(sorted(filter(_is_image, paths)))
    texts = {path.with_suffix(".txt") for path in images}
    others = [path for path in paths if is_file(path) and not _is_image(path) and path not in texts]
    below = [] if recursive else [path for path in paths if path.is_dir() and not _is_image(path)]
    return ImageFolder(images, _describe(others, below))


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if recursive and path.is_dir() and not path.is_symlink():
            yield from _walk(path, recursive)
        else:
            yield path


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _describe(others: list[Path], below: list[Path]) -> str | None:
    said = []
    if others:
        counts = Counter(path.suffix.lower() or "no suffix" for path in others)
        listed = _listed(f"{count} {suffix}" for suffix, count in counts.most_common())
        said.append(f"{len(others)} file(s) that are no images ({listed})")
    if below:
        listed = _listed(path.name for path in below)
        said.append(f"{len(below)} folder(s) ({listed}; --recursive reads them too)")
    return f"passed over: {' and '.join(said)}" if said else None


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f", and {len(every) - MAX_NAMED} more" if len(every) > MAX_NAMED else ""
    return ", ".join(every[:MAX_NAMED]) + more
