"""A symbolic link that names the run in use. Knows links and folders, not what stands in them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from distill.core.errors import RunError
from distill.core.files import explain_write_errors, remove_leftovers


def check(link: Path | None, run: Path, out: Path, overwrite: bool) -> None:
    """Raise RunError, before the long work, where `out` is what `run` is, or `link` cannot be switched from `run`
    to it: who compares with `run` replaces nothing else. Nor is the run in use overwritten."""
    if end_of(run) == end_of(out):
        raise RunError(f"{out}: is the run to start from ({run}); choose another --out")
    if link is None or not os.path.lexists(link):
        return
    if not link.is_symlink():
        raise RunError(f"{link}: is no symbolic link; give --current a name that is one, or that is free")
    end = end_of(link)
    if end == end_of(out) and overwrite:
        raise RunError(f"{out}: is in use, {link} points to it; choose another --out")
    if end not in (end_of(run), end_of(out)):
        existing(link)
        raise RunError(f"{link}: points to {end}, not to {run}; give that run to retrain")


def existing(run: Path) -> Path:
    """What a run's path leads to. Raises RunError for a link to what is gone, as after the run was moved."""
    end = end_of(run)
    if run.is_symlink() and not end.exists():
        raise RunError(f"{run}: points to {end}, which is gone; ln -sfn RUN {shlex.quote(str(run))}")
    return end


def end_of(path: Path) -> Path:
    """Where a path leads, whether anything stands there or not. Raises RunError for links that lead in a circle."""
    end = Path(os.path.realpath(path))  # Path.resolve raises for a circle, by Python's version
    if end.is_symlink():
        raise RunError(f"{path}: its symbolic links lead in a circle; ln -sfn RUN {shlex.quote(str(end))}")
    return end


def switch(link: Path, run: Path) -> None:
    """Make `link` point to `run`, in one step: whoever opens it meets the old run or the new one."""
    link.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(link)
    fresh = link.with_name(f".{link.name}.{os.getpid()}.part")
    with explain_write_errors(link):
        fresh.symlink_to(os.path.relpath(run.resolve(), link.parent.resolve()), target_is_directory=True)
        fresh.replace(link)
