"""A symbolic link that names the run in use. Knows links and folders, not what stands in them."""

from __future__ import annotations

import os
from pathlib import Path

from distill.errors import RunError
from distill.files import named, sweep


def check(link: Path | None, run: Path, out: Path, overwrite: bool) -> None:
    """Raise RunError, before the long work, where `out` is what `run` is, or `link` cannot be switched from `run`
    to it: who compares with `run` replaces nothing else. Nor is the run in use overwritten."""
    if run.resolve() == out.resolve():
        raise RunError(f"{out}: is the run to start from ({run}); choose another --out")
    if link is None or not os.path.lexists(link):
        return
    if not link.is_symlink():
        raise RunError(f"{link}: is no symbolic link; give --current a name that is one, or that is free")
    if link.resolve() == out.resolve() and overwrite:
        raise RunError(f"{out}: is in use, {link} points to it; choose another --out")
    if link.resolve() not in (run.resolve(), out.resolve()):
        raise RunError(f"{link}: points to {link.resolve()}, not to {run}; give that run to retrain")


def switch(link: Path, run: Path) -> None:
    """Make `link` point to `run`, in one step: whoever opens it meets the old run or the new one."""
    link.parent.mkdir(parents=True, exist_ok=True)
    sweep(link)
    fresh = link.with_name(f".{link.name}.{os.getpid()}.part")
    with named(link):
        fresh.symlink_to(os.path.relpath(run.resolve(), link.parent.resolve()), target_is_directory=True)
        fresh.replace(link)
