"""`distill recipe`: the settings, what each is for, what a run used, and what differs between two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from distill.cli.completion import complete_key
from distill.cli.groups import WithDefault
from distill.cli.options import json_option
from distill.cli.results import print_json

DEFAULTS = "defaults"


@click.group(cls=WithDefault, default="show", alone=True)
def recipe() -> None:
    """Show settings: the defaults, one key, or what a run used.

    \b
    distill recipe ...            short for: distill recipe show ...
    distill recipe diff A B       what differs between two

    \b
    Examples:
      distill recipe
      distill recipe teacher.epochs
      distill recipe runs/teacher > like-before.toml
      distill recipe diff defaults runs/teacher
    """


@recipe.command()
@click.argument("what", required=False, metavar="[KEY|RUN|FILE]", shell_complete=complete_key)
@json_option
def show(what: str | None) -> None:
    """Print all defaults, one key, a table of keys, or the settings of a run.

    KEY is one of the recipe, such as teacher.epochs, or a table of it, such as teacher.text. RUN is the folder of a
    training or a Bundle, and FILE a recipe, which is completed by the defaults. What is printed is a recipe.

    \b
    Examples:
      distill recipe show
      distill recipe show student.distill
      distill recipe show runs/student
    """
    from distill.core.settings.recipe_text import default_text, select, to_toml
    from distill.data.settings import is_source, read_settings

    if what is None or what == DEFAULTS:
        print_json(read_settings(None))
        _print(default_text())
    elif is_source(Path(what)):
        tree = read_settings(Path(what))
        print_json(tree)
        _print(to_toml(tree))
    else:
        chosen = select(what)
        print_json({setting.key: {"default": setting.value(), "comment": setting.comment} for setting in chosen})
        _print("".join(f"{setting.line()}\n" for setting in chosen))


@recipe.command()
@click.argument("old", metavar="A", type=click.Path())
@click.argument("new", metavar="B", type=click.Path())
@json_option
def diff(old: str, new: str) -> None:
    """Print the settings that differ between two runs, Bundles or recipes.

    A and B are each a run's folder, a Bundle, a TOML file, or the word defaults. A run has the settings of its own
    training alone, so only those are compared.

    \b
    Examples:
      distill recipe diff defaults runs/teacher
      distill recipe diff runs/teacher runs/teacher-2
    """
    from distill.core.output.terminal import note
    from distill.data.settings import differences, read_settings

    before, after = (read_settings(None if name == DEFAULTS else Path(name)) for name in (old, new))
    changed = differences(before, after, (old, new))
    print_json({change.key: {"a": change.old, "b": change.new} for change in changed})
    if changed:
        _show([(change.key, change.old, change.new) for change in changed], (old, new))
    note(f"{len(changed)} setting(s) differ")


def _print(text: str) -> None:
    """Print TOML, unless JSON is asked for."""
    from distill.core.output.volume import volume

    if volume.tables:
        click.echo(text, nl=False)


def _show(rows: list[tuple[str, Any, Any]], names: tuple[str, str]) -> None:
    from rich.table import Table

    from distill.core.output.terminal import output

    table = Table()
    for name in ("key", *names):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    output.print(table)
