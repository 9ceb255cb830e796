"""The cache: what was computed or downloaded once, for the next time. No command needs it; each goes on without.

It is at $DISTILL_CACHE if that is set, else distill/ in $XDG_CACHE_HOME, else in ~/.cache.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill.core.errors import OutputError

NOWHERE = Path(os.devnull, "distill")  # nothing can be read there, or written


def cache_folder() -> Path:
    """Where the cache is, whether or not it can be read or written."""
    if own := os.environ.get("DISTILL_CACHE"):
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "distill"
    try:
        return Path.home() / ".cache" / "distill"
    except RuntimeError:  # no HOME, and a user without an entry in passwd
        return NOWHERE


def cache_folders() -> list[Path]:
    """Where to look: the cache, and what stands in for it in this process."""
    return [cache_folder(), *([_stand_in()] if _stand_in.cache_info().currsize else [])]


def writable(path: Path) -> Path:
    """This path in the cache; where that cannot be written, which is said once, the same in a folder that stands in
    for the cache until the process ends. Raises OSError where there is no room for one."""
    error = write_fault(path.parent)
    if error is None:
        return path
    _warn_once(error)
    return _stand_in() / path.relative_to(cache_folder())


def write_fault(folder: Path) -> OSError | None:
    """Why no file can be created in a folder, which is itself created if necessary; None if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return error


@contextmanager
def optional_write() -> Iterator[None]:
    """Where the cache cannot be written, say it once and go on."""
    try:
        yield
    except (OSError, OutputError) as error:
        _warn_once(error)


@functools.cache
def _stand_in() -> Path:
    folder = tempfile.mkdtemp(prefix="distill-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


_warned: set[Path] = set()


def _warn_once(error: OSError | OutputError) -> None:
    folder, cause = cache_folder(), error if isinstance(error, OSError) else error.__cause__
    if folder in _warned:
        return
    _warned.add(folder)
    reason = "there is no home folder" if folder == NOWHERE else getattr(cause, "strerror", None) or error
    where = "" if folder == NOWHERE else f"{folder}: "
    from distill.core.output.terminal import warn  # here: its imports are slow

    warn(f"{where}the cache cannot be written ({reason}); going on without it. To keep one, set DISTILL_CACHE")
