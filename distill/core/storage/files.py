"""Writes files and folders atomically (as a whole or not at all), and hashes content.

New content is written beside its target, under a hidden name with a random token of the writer and a kind:
  .NAME.TOKEN.part   not complete yet, or being removed
  .NAME.TOKEN.old    the previous folder, where replacing it takes two steps
  .NAME.TOKEN.work   a folder for temporary files
  .NAME.TOKEN.lock   held while the others may be there (distill.core.storage.lock)
A killed writer leaves these behind; the next writer of the same target cleans up (`remove_leftovers`). Those of a
living writer, in whatever container or machine, are left alone: of several, the last to finish wins.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from distill.core.errors import DistillError, OutputError
from distill.core.output.printable import printable
from distill.core.storage.inputs import open_plain, read_input
from distill.core.storage.lock import take
from distill.core.untrusted import parse_strict_json

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RETRY = "run the same command again"
MAX_JSON_BYTES = 256 << 20  # of a run's hashes of four million examples
KINDS = ("old", "part", "work")
LEFTOVER = re.compile(r"([0-9a-f]{8})\.(?:lock|old|part|work)")  # after .NAME.
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a plain file, read 1 MiB at a time. Raises OSError."""
    digest = hashlib.sha256()
    with open_plain(path) as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a temporary file and rename it to `path`, so that a reader sees either the old file or the new one.
    Raises OutputError."""
    refuse_non_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with explain_write_errors(path, len(content)), hidden_path(path, "part") as temporary:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)


def refuse_non_file(path: Path) -> None:
    """Raise OutputError if there is a folder, a device or a pipe at `path`."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    # /dev/stdout is a link, perhaps to a file, and the link itself would be replaced.
    if path.absolute().parent == Path("/dev") or (path.exists() and not path.is_file()):
        raise OutputError(f"{path}: is a device or a pipe, which a file would replace; give the name of a file")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON that can be shown on a terminal. Raises ValueError for NaN and infinities, which are not
    JSON."""
    write_text(path, printable(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)) + "\n")


def read_json(path: Path, error: type[DistillError]) -> Any:
    """Parse a JSON file as a stranger's: bounded, with finite numbers and distinct keys. Raises `error` with the
    file's name and the reason."""
    return parse_strict_json(read_input(path, MAX_JSON_BYTES, error), str(path), error)


@contextmanager
def explain_write_errors(path: Path, size_bytes: int | None = None, then: str = RETRY) -> Iterator[None]:
    """Turn a full disk into an OutputError about `path`; other OSErrors get this name if they have none or that of
    a hidden file beside it.

    `size_bytes` is the size of what is written, `then` what to do after making room."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise write_error(path, str(error.strerror), size_bytes, then) from error
        if error.filename is None or Path(str(error.filename)).name.startswith(f".{path.name}."):
            error.filename = str(path)
        raise


def describe_os_error(error: OSError) -> str:
    """The file and the reason in one line, and what to do about a full disk."""
    next_step = "; make room and run the same command again" if error.errno in DISK_FULL else ""
    return f"{error.filename or 'a file'}: {error.strerror or error}{next_step}"


def refuse_overwriting(out: Path, *inputs: Path) -> None:
    """Raise OutputError if `out`, which may be replaced as a whole, is one of the inputs or holds one."""
    target = Path(os.path.realpath(out))
    for path in inputs:
        real = Path(os.path.realpath(path))
        if target in (real, *real.parents):
            raise OutputError(f"{out}: is or holds {path}, which is read; choose another folder to write to")


def refuse_existing(
    out: Path, overwrite: bool, is_own: Callable[[Path], bool] | None = None, what: str = "a file"
) -> None:
    """The rule for whatever is at `out` already: OutputError unless it may be overwritten; an empty folder may.

    Without `is_own`, `out` is to be a file. With it, it is to be a folder, and never one that holds something which
    `is_own` does not know as `what`: --overwrite replaces a folder as a whole.
    """
    if is_own is None:
        refuse_non_file(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if is_own is not None and not (out.is_dir() and is_own(out)):
        raise OutputError(f"{out}: holds something that is not {what}; choose another --out")
    if not overwrite:
        holds = "exists" if is_own is None else f"holds {what} already"
        raise OutputError(f"{out}: {holds}; pass --overwrite to replace it, or choose another --out")


def write_error(path: Path, reason: str, size_bytes: int | None = None, then: str = RETRY) -> OutputError:
    """An OutputError for a file that does not fit: its size, the free space, and what to do."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = f"{_size(shutil.disk_usage(folder).free)} are free there"
    needed = "" if size_bytes is None else f"it takes {_size(size_bytes)}, and "
    return OutputError(f"{path}: cannot be written: {reason}; {needed}{free}: make room, then {then}")


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB" if size_bytes > 1e5 else f"{size_bytes / 1e3:,.1f} kB"


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block succeeds, and is removed when it fails.

    An existing folder at `target` stays until the new one replaces it, in one step where the system can exchange
    two names. Raises OutputError.
    """
    refuse_working_directory(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with explain_write_errors(target), hidden_path(target, "part") as fresh:
        fresh.mkdir()
        yield fresh
        for path in fresh.rglob("*"):
            if path.is_file():
                with path.open("r+b") as handle:  # content must reach the disk before the name
                    os.fsync(handle.fileno())
        _replace_folder(target, fresh)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """A folder for temporary files while `target` is made, on the same disk; removed at the end.

    Other libraries' temporary files go there too, so that those of a killed process are cleaned up with it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    default = tempfile.tempdir
    with explain_write_errors(target), hidden_path(target, "work") as folder:
        try:
            folder.mkdir()
            tempfile.tempdir = str(folder)
            yield folder
        finally:
            tempfile.tempdir = default


def remove_folder(folder: Path, keep: str | None = None) -> None:
    """Remove a folder, but for its file `keep`, atomically: it is renamed first, so that a kill cannot leave half
    of it. Raises OutputError."""
    refuse_working_directory(folder)
    with hidden_path(folder, "part") as doomed:
        folder.rename(doomed)
        if keep is not None and (doomed / keep).exists():
            folder.mkdir()
            (doomed / keep).rename(folder / keep)


def refuse_working_directory(target: Path) -> None:
    """Raise OutputError if `target`, which would be replaced as a whole, is the working directory or above it."""
    here = Path.cwd()
    if Path(os.path.realpath(target)) in (here, *here.parents):
        raise OutputError(f"{target}: is the directory that you are in, or above it; name a folder inside it")


def remove_leftovers(target: Path) -> None:
    """Clean up after killed writers of `target`: restore the folder that one had moved aside, remove the rest."""
    prefix = f".{target.name}."
    names = [path.name for path in target.parent.iterdir()] if target.parent.is_dir() else []
    matches = (LEFTOVER.fullmatch(name.removeprefix(prefix)) for name in names if name.startswith(prefix))
    for token in {match.group(1) for match in matches if match}:
        with suppress(OSError), _hold_token(target, token) as is_free:  # a folder or a lock may be another user's
            for kind in KINDS if is_free else ():
                path = target.with_name(f"{prefix}{token}.{kind}")
                if kind == "old" and path.exists() and not target.exists():
                    path.rename(target)
                _remove(path)


@contextmanager
def hidden_path(target: Path, kind: str) -> Iterator[Path]:
    """A name beside `target` that no other writer uses or removes; what is there at the end is removed."""
    remove_leftovers(target)
    while True:
        token = secrets.token_hex(4)
        with _hold_token(target, token) as is_free:
            if not is_free:
                continue
            path = target.with_name(f".{target.name}.{token}.{kind}")
            try:
                yield path
            finally:
                _remove(path)
            return


@contextmanager
def _hold_token(target: Path, token: str) -> Iterator[bool]:
    """Hold the lock of a writer's token; whether it was free."""
    lock = take(target.with_name(f".{target.name}.{token}.lock"))
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _replace_folder(target: Path, fresh: Path) -> None:
    """Rename `fresh` to `target`; a previous folder ends up at `fresh`, or is removed."""
    old = fresh.with_suffix(".old")
    try:
        while not (_exchange(fresh, target) if target.exists() else _rename_to_free(fresh, target)):
            with suppress(FileNotFoundError):  # another writer has moved it
                _remove(old)
                target.rename(old)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    _remove(old)


def _rename_to_free(fresh: Path, target: Path) -> bool:
    """Rename a folder; False where another writer has taken the name."""
    try:
        fresh.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step, so that both exist at every moment; False where the system cannot."""
    import ctypes  # neither os nor shutil exchanges names: os.replace cannot replace a folder that is not empty

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        return False
    paths = (AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second))
    return bool(renameat2(*paths, RENAME_EXCHANGE) == 0)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
