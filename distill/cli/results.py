"""--json: a command's result as JSON on standard output, in place of its tables."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from distill.core.errors import DistillError
from distill.core.output.volume import volume


def json_asked(_: click.Context, __: click.Parameter, value: bool) -> None:
    """The callback of --json."""
    if value:
        volume.tables = False


def print_json(result: Any) -> None:
    """Print a result, a dataclass or what JSON has, if --json asks for it. Commands call it when all is written."""
    if volume.tables or _is_silent():
        return
    tree = dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result  # type: ignore[arg-type]
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    click.echo(json.dumps(tree, indent=1, ensure_ascii=not is_unicode, allow_nan=False))


def same_settings(recipe: Path | None, overrides: Sequence[str], table: str) -> str:
    """The options of a command that another, which reads that `table` of the recipe, is to have as well, with a
    blank before them; "" without any."""
    from distill.core.settings.unread import SHARED

    words = ["--recipe", str(recipe)] if recipe else []
    for override in overrides:
        if override.partition("=")[0].partition(".")[0].strip() in (table, *SHARED):
            words += ["--set", override]
    return f" {shlex.join(words)}" if words else ""


def print_json_file(path: Path) -> None:
    """Print the JSON that a command has written, if --json asks for it."""
    if not volume.tables:
        from distill.core.storage.files import read_json

        print_json(read_json(path, DistillError))


def _is_silent() -> bool:
    """Whether this is one of several processes, and not the first."""
    terminal = sys.modules.get("distill.core.output.terminal")
    return terminal is not None and bool(terminal.output.quiet)
