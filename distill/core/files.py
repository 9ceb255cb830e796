"""Writing whole files or none, and naming content by its hash. Knows bytes, not what they mean.

What is written grows beside its target, under a hidden name that ends in the writer's process and a kind:
  .NAME.PID.part   not ready, or on its way out
  .NAME.PID.old    what stood at the target, for the moment that replacing it takes where that takes two steps
  .NAME.PID.work   a folder for files on the way
A writer that is killed leaves one of these. The next one to write the same target clears it up (`sweep`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.core.errors import DistillError, OutputError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RETRY = "give the same command again"
KINDS = ("part", "old", "work")
HERE, EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


def cache_folder() -> Path:
    """$DISTILL_CACHE, else distill/ in the user's cache folder."""
    if "DISTILL_CACHE" in os.environ:
        return Path(os.environ["DISTILL_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "distill"


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside the target and rename, so that a reader sees the old file or the new one. Raises OutputError."""
    refuse_non_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary = _temporary_path(path, "part")
    with explain_write_errors(path, len(content)):
        try:
            with temporary.open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def refuse_non_file(path: Path) -> None:
    """Raise OutputError for what a file cannot replace, or must not."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    # /dev/stdout is a link that may lead to a file, and it is the link that would be replaced.
    if path.absolute().parent == Path("/dev") or (path.exists() and not path.is_file()):
        raise OutputError(f"{path}: is a device or a pipe, which a file would replace; give the name of a file")


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON. Refuses NaN and infinities, which are not JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, error: type[DistillError]) -> Any:
    """Parse a JSON file, or raise `error` with the file's name, the place and the reason."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"{path}: no such file") from cause
    except (OSError, ValueError, RecursionError) as cause:
        raise error(f"{path}: not readable as JSON: {cause}") from cause


@contextmanager
def explain_write_errors(path: Path, size_bytes: int | None = None, then: str = RETRY) -> Iterator[None]:
    """Turn a full disk into an OutputError about `path`, and give its name to any other failed write."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise write_error(path, str(error.strerror), size_bytes, then) from error
        if error.filename is None:
            error.filename = str(path)
        raise


def write_error(path: Path, reason: str, size_bytes: int | None = None, then: str = RETRY) -> OutputError:
    """The one line about a file that there is no room for: what it takes, what there is, what to do."""
    there = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = f"{_size(shutil.disk_usage(there).free)} are free there"
    needed = "" if size_bytes is None else f"it takes {_size(size_bytes)}, and "
    return OutputError(f"{path}: cannot be written: {reason}; {needed}{free}: make room, then {then}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes > 1e5 else f"{size_bytes / 1e3:,.1f} kB"


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends well, and vanishes when it does not.

    A folder that stands at `target` is there until the new one is, in one step where the system can swap names.
    Raises OutputError.
    """
    refuse_working_directory(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    fresh = _temporary_path(target, "part")
    with explain_write_errors(target):
        try:
            _remove(fresh)
            fresh.mkdir()
            yield fresh
            for path in fresh.rglob("*"):
                if path.is_file():
                    with path.open("r+b") as handle:  # a name must not reach the disk before its content
                        os.fsync(handle.fileno())
            _replace_folder(fresh, target)
        finally:
            _remove(fresh)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A folder for files on the way to `target`, on the disk that has to have room for it; removed in the end.

    Other libraries' temporary files go there too: those that a kill leaves are then swept with it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    folder, before = _temporary_path(target, "work"), tempfile.tempdir
    with explain_write_errors(target):
        try:
            _remove(folder)
            folder.mkdir()
            tempfile.tempdir = str(folder)
            yield folder
        finally:
            tempfile.tempdir = before
            _remove(folder)


def remove_folder(folder: Path) -> None:
    """Remove it whole or not at all: killed on the way, it is not half there. Raises OutputError."""
    refuse_working_directory(folder)
    gone = _temporary_path(folder, "part")
    folder.rename(gone)
    _remove(gone)


def refuse_working_directory(target: Path) -> None:
    """Raises OutputError for the working directory and those above it: a folder that is replaced as a whole must
    not be one that somebody is in."""
    here = Path.cwd()
    if Path(os.path.realpath(target)) in (here, *here.parents):
        raise OutputError(f"{target}: is the directory that you are in, or above it; name a folder inside of it")


def remove_leftovers(target: Path) -> None:
    """Clear up after writers of `target` that were killed: put back what they had moved aside, remove the rest."""
    prefix = f".{target.name}."
    for path in list(target.parent.iterdir()) if target.parent.is_dir() else []:
        process, _, kind = path.name.removeprefix(prefix).partition(".")
        if not path.name.startswith(prefix) or not process.isdecimal() or kind not in KINDS:
            continue
        own = int(process) == os.getpid()
        if _is_running(int(process)) and not (own and kind == "old"):
            continue
        if kind == "old" and not target.exists():
            path.rename(target)
        else:
            _remove(path)


def _temporary_path(target: Path, kind: str) -> Path:
    """This process's own name; in a container the process before may have had the same number."""
    return target.with_name(f".{target.name}.{os.getpid()}.{kind}")


def _is_running(process: int) -> bool:
    """Whether a process of this number is there. Windows has no way to ask that is harmless."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _replace_folder(fresh: Path, target: Path) -> None:
    """Make `fresh` stand at `target`; what stood there then stands at `fresh`, or is gone."""
    if not target.exists():
        fresh.rename(target)
    elif not _exchange(fresh, target):
        old = _temporary_path(target, "old")
        target.rename(old)
        try:
            fresh.rename(target)
        except BaseException:
            old.rename(target)
            raise
        _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, so that there is no moment without `other`; False where that cannot be done."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    return bool(rename(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
