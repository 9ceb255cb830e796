"""A symbolic link to the run in use: checked before a retraining, and switched to the new run in one step."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from distill.core.errors import RunError
from distill.core.storage.files import explain_write_errors, hidden_path


def check_link(link: Path | None, run: Path, out: Path, overwrite: bool) -> None:
    """Raise RunError, before the long work, if `out` is `run` itself, or `link` cannot be switched from `run` to
    `out`: it must point to one of them, and the run in use must not be overwritten."""
    if target_of(run) == target_of(out):
        raise RunError(f"{out}: is the run to start from ({run}); choose another --out")
    if link is None or not os.path.lexists(link):
        return
    if not link.is_symlink():
        raise RunError(f"{link}: is not a symbolic link; give --current a link, or a name that is free")
    target = target_of(link)
    if target == target_of(out) and overwrite:
        raise RunError(f"{out}: is in use, {link} points to it; choose another --out")
    if target not in (target_of(run), target_of(out)):
        resolve_run(link)
        raise RunError(f"{link}: points to {target}, not to {run}; give that run to retrain")


def resolve_run(run: Path) -> Path:
    """The folder that a run's path leads to. Raises RunError for a dangling link, as after the run was moved."""
    target = target_of(run)
    if run.is_symlink() and not target.exists():
        raise RunError(f"{run}: points to {target}, which is gone; ln -sfn RUN {shlex.quote(str(run))}")
    return target


def target_of(path: Path) -> Path:
    """Where a path leads, whether or not it exists. Raises RunError for links in a circle."""
    target = Path(os.path.realpath(path))  # Path.resolve raises for a circle, by Python's version
    if target.is_symlink():
        raise RunError(f"{path}: its symbolic links lead in a circle; ln -sfn RUN {shlex.quote(str(target))}")
    return target


def switch_link(link: Path, run: Path) -> None:
    """Make `link` point to `run`, in one step: it always leads to the old run or to the new one."""
    link.parent.mkdir(parents=True, exist_ok=True)
    with explain_write_errors(link), hidden_path(link, "part") as part:
        part.symlink_to(os.path.relpath(run.resolve(), link.parent.resolve()), target_is_directory=True)
        part.replace(link)
