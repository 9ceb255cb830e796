"""docs/cli.md: every command with its options, example and exit codes, made from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from distill.cli.everywhere import add_everywhere
from distill.cli.exits import EVERYWHERE
from distill.cli.main import SECTIONS, main
from distill.core.errors import MEANINGS
from experiments.results import table

PAGE = "docs/cli.md"
HEAD = """\
# The command line

`make docs` writes this page from the commands; `distill COMMAND --help` says the same.
What several commands do alike comes first, then [every command](#commands).

## In every command

{everywhere}

- **Standard output** has results, and standard error has notes, warnings and errors. `--json` prints the result as
  JSON in place of tables; `-o -`, where a command writes a JSON file, does the same.
- **Standard input**: where a file of rows is expected, `-` reads JSON Lines, JSON, CSV, TSV or Parquet from a pipe.
  The images that its rows name are looked for in the working directory, or in `--images FOLDER`.
- **What exists is not overwritten.** If there is something at `--out` already, one line says so before the work
  begins; `--overwrite` replaces it, a run once the new one is finished. A folder is only replaced if the same
  command wrote it. A training is resumed with `--resume`.
- **The split** that is measured is test if it has labels, else dev; `--split` chooses another.
- **Errors** are one line, `error: WHAT: WHY; NEXT STEP`. `--debug` shows the traceback.
- What a stream cannot encode (`PYTHONIOENCODING=cp1252`, `LANG=C`) is printed as an escape. Files are UTF-8.

### Exit codes

{exit_codes}

### Completion in the shell

Add a line to your shell's start file. Then Tab completes commands, options, paths, and the keys of recipes after
`--set` and `distill recipe`; zsh and fish also complete a key's values, such as `--set teacher.optimizer=`.

```sh
eval "$(_DISTILL_COMPLETE=bash_source distill)"        # ~/.bashrc
eval "$(_DISTILL_COMPLETE=zsh_source distill)"         # ~/.zshrc
_DISTILL_COMPLETE=fish_source distill | source         # ~/.config/fish/config.fish
```

## Commands
"""
DEFAULT = re.compile(r"\s*\[default: (.*)\]$")
HELP = {"-h", "--help"}


def page() -> str:
    """The whole page."""
    add_everywhere(main)
    context = click.Context(main, info_name="distill")
    head = HEAD.format(everywhere=_options(main, context), exit_codes=_exit_codes())
    parts = [head]
    for title, commands in SECTIONS.items():
        parts.append(f"### {title}\n")
        for command in commands:
            parts += _command(command, context)
    return "\n".join(parts)


def _command(command: click.Command, above: click.Context) -> Iterator[str]:
    """A section for a command and for each below it."""
    context = click.Context(command, info_name=command.name, parent=above)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"#### {context.command_path}\n"
    yield f"`{usage}`\n"
    yield from _help(command.help or "")
    if options := _options(command, context):
        yield f"{options}\n"
    if codes := getattr(command.callback, "exit_codes", {}):
        yield "".join(f"Exit code {code}: {when}.\n" for code, when in codes.items())
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _command(below, context)


def _help(text: str) -> Iterator[str]:
    """Paragraphs, and what is laid out by hand as blocks of code."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if not paragraph.startswith("\b"):
            yield f"{_escape(paragraph)}\n"
            continue
        lines = paragraph.splitlines()[1:]
        lines = lines[1:] if re.fullmatch(r"Examples?:", lines[0]) else lines
        yield "\n".join(["```sh", *(line.removeprefix("  ") for line in lines), "```\n"])


def _options(command: click.Command, context: click.Context) -> str:
    rows = []
    for param in command.params:
        if not isinstance(param, click.Option) or param.hidden or HELP & set(param.opts):
            continue
        names = ", ".join(param.opts)
        metavar = "" if param.is_flag or param.count else f" {param.make_metavar(context)}"
        text = param.help or ""
        said = DEFAULT.search(text)
        default = said[1] if said else _default(param)
        rows.append((f"`{names}{metavar}`".replace("|", "\\|"), _escape(DEFAULT.sub("", text)), _escape(default)))
    return table("option | what it does | default", rows, left=3) if rows else ""


def _default(param: click.Option) -> str:
    if param.required:
        return "required"
    if isinstance(param.show_default, str):
        return param.show_default
    value: Any = param.default
    return str(value) if param.show_default and value not in (None, (), "") else ""


def _exit_codes() -> str:
    rows = [
        (str(int(code)), meaning, "every command" if code in EVERYWHERE else ", ".join(_commands_with(code)))
        for code, meaning in MEANINGS.items()
    ]
    return table("code | meaning | of", rows, left=3)


def _commands_with(code: int) -> list[str]:
    return [f"`{path}`" for path, command in walk(main, "") if code in getattr(command.callback, "exit_codes", {})]


def walk(group: click.Group, above: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below, with its words."""
    for name, command in group.commands.items():
        path = f"{above} {name}".strip()
        yield path, command
        if isinstance(command, click.Group):
            yield from walk(command, path)


def _escape(text: str) -> str:
    """For Markdown: one line, without what would be markup or end a cell."""
    return re.sub(r"([|*<>])", r"\\\1", " ".join(text.split()))
