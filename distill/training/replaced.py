"""The run that an overwriting training replaces: it is kept in RUN/replaced until the new one is finished.

  RUN/replaced         the earlier run, whole, while the new one is trained
  RUN/.replaced        the same while its files are being moved there or back
  RUN/.kept-by-distill as long as there is either; without it, a folder of that name is somebody else's

A training that fails before it wrote anything of its own puts the earlier run back, or, if it was killed, the next
one that claims the folder does.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from distill.core.errors import RunError
from distill.core.output.terminal import note
from distill.core.output.transcript import TRAIN_LOG, close_transcript
from distill.core.storage.lock import LOCK_FILE
from distill.core.tracking.trackers import EVENTS, IDS
from distill.data.run_folder import (
    KEPT_MARK,
    REPLACED,
    RUN_FILE,
    START_FILE,
    describe_non_run,
    is_run,
    keeps_run,
)

MOVING = f".{REPLACED}"
NO_WORK = {LOCK_FILE, TRAIN_LOG, IDS, EVENTS}  # what may be there of a run that never got to its first epoch


def set_aside(folder: Path) -> None:
    """Move what a run's folder holds to `REPLACED`, before another run is begun there."""
    if keeps_run(folder) and not _is_finished(folder):
        _put_back(folder)  # an unfinished run in place of a finished one: that one is kept
    _drop_kept(folder)
    if not has_work(folder):
        return
    entries = _entries(folder)
    (folder / KEPT_MARK).touch()
    (folder / MOVING).mkdir(exist_ok=True)
    _move(folder, folder / MOVING, sorted(entries, key=lambda path: path.name != RUN_FILE))
    (folder / MOVING).rename(folder / REPLACED)
    note(f"{folder}: the run that is there is kept in {folder / REPLACED} until the new one is finished")


def settle(folder: Path, resume: bool) -> None:
    """Clean up after a training that was killed: its earlier run comes back where it was being moved, or where
    nothing of the new one is there, unless that is to go on; it goes where the new one is finished."""
    if not (folder / KEPT_MARK).is_file():
        return
    is_begun = (folder / START_FILE).is_file() and (resume or has_work(folder))
    if (folder / MOVING).is_dir() or (keeps_run(folder) and not is_begun and not _is_finished(folder)):
        _put_back(folder)
    elif _is_finished(folder) or not keeps_run(folder):
        _drop_kept(folder)


def end(folder: Path) -> None:
    """What `settle` does, at the end of a training in this process, and the line that says so."""
    if (folder / KEPT_MARK).is_file() and (folder / MOVING).is_dir():  # it failed while files were being moved
        _put_back(folder)
    if not keeps_run(folder):
        return
    if _is_finished(folder):
        _drop_kept(folder)
    elif has_work(folder):
        note(f"{folder / REPLACED}: keeps the run that was there, until {folder} is finished with --resume")
    else:
        close_transcript()  # it is in a file that goes
        _put_back(folder)
        note(f"{folder}: holds the run that was there, as nothing came in its place")


def has_work(folder: Path) -> bool:
    """Whether a run's folder holds more than what says that one was begun: that alone is no work to lose."""
    return any(
        path.is_file() and not (NO_WORK | {START_FILE}) & set(path.relative_to(folder).parts)
        for entry in _entries(folder)
        for path in (entry, *entry.rglob("*"))
    )


def _is_finished(folder: Path) -> bool:
    with suppress(RunError):  # a damaged file
        return is_run(folder) or describe_non_run(folder) is not None
    return False


def _put_back(folder: Path) -> None:
    """Wherever this is killed, `settle` goes on. started.json goes first, as it says that a run was begun."""
    if not (folder / MOVING).is_dir():
        (folder / START_FILE).unlink(missing_ok=True)
        for path in _entries(folder):
            _drop(path)
        (folder / REPLACED).rename(folder / MOVING)
    _move(folder / MOVING, folder, sorted((folder / MOVING).iterdir(), key=lambda path: path.name == RUN_FILE))
    (folder / MOVING).rmdir()
    (folder / KEPT_MARK).unlink()


def _entries(folder: Path) -> list[Path]:
    ours = {LOCK_FILE, *((REPLACED, MOVING, KEPT_MARK) if (folder / KEPT_MARK).is_file() else ())}
    return [path for path in folder.iterdir() if path.name not in ours] if folder.is_dir() else []


def _move(source: Path, target: Path, entries: list[Path]) -> None:
    for path in entries:
        path.rename(target / path.relative_to(source))


def _drop_kept(folder: Path) -> None:
    """The mark goes last: what a kill leaves is still ours."""
    if (folder / KEPT_MARK).is_file():
        _drop(folder / REPLACED)
        (folder / KEPT_MARK).unlink()


def _drop(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
