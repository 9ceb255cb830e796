"""The pages of the documentation: their blocks of code, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from distill.cli.groups import WithDefault
from distill.cli.main import main

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = ("", "bash", "sh")
# What may stand before distill: a step of CI, or what starts it in several processes.
STARTS = re.compile(r"^(?:- run: |torchrun .*? |accelerate launch .*? -m )?distill(?:\.cli)? (?P<words>.*)$")
ENDS = {"|", "<", ">", ">>", ";", "&&", "done"}
OPEN = re.compile(r"\.\.\.|…|\[.*")  # a word that leaves something out


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each block of code."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def python(page: Path) -> list[str]:
    """The blocks of Python."""
    return [text for language, text in blocks(page) if language == "python"]


def shell_lines(page: Path) -> Iterator[str]:
    """Every line that is typed, its continuations joined, from fences and from indented blocks."""
    fenced = [text for language, text in blocks(page) if language in (*SHELL, "yaml")]
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    indented = "\n".join(line[4:] for line in prose.splitlines() if line.startswith("    "))
    for text in (*fenced, indented):
        yield from (line.strip() for line in re.sub(r"\\\n\s*", " ", text).splitlines())


def distill_words(line: str) -> list[str] | None:
    """The words after `distill` of a line that is typed; None if it is no such line. A shell's variables and
    substitutions become `...`."""
    match = STARTS.match(line)
    if match is None:
        return None
    text = re.sub(r"\$\([^)]*\)+|\$[A-Z]+\b(?![\w/])", "...", match["words"])
    words = shlex.split(re.split(r"\s{3,}", text)[0], comments=True)  # and what is said of it, set apart
    end = next((n for n, word in enumerate(words) if word in ENDS), len(words))
    return words[:end]


def parse(words: list[str], all_of_it: bool = True) -> dict[str, object]:
    """The parameters of a command line of distill by name, as click parses them, without looking at any file.
    Raises click.UsageError for an unknown command or option, a value that is none of its choices, and, if the line
    is `all_of_it`, for what it lacks."""
    is_open = any(map(OPEN.fullmatch, words)) or not all_of_it or not {"-h", "--help"}.isdisjoint(words)
    after_option = [before.startswith("--") for before in ["", *words]]
    rest = [
        word for word, is_value in zip(words, after_option, strict=False) if is_value or not OPEN.fullmatch(word)
    ]
    if not all_of_it and rest and rest[-1].startswith("--") and rest[-1] != "--help":
        rest.append("0")  # the value of an option that is only named
    command: click.Command = main
    context = None
    while True:
        context = click.Context(command, context, command.name)
        if not isinstance(command, click.Group):
            break
        if not rest or rest[0].isupper():  # `distill COMMAND --help`
            return {}
        if isinstance(command, WithDefault) and rest[0] not in (*command.commands, "-h", "--help"):
            rest = [getattr(command, "default", "run"), *rest]
        _, rest, _ = command.make_parser(context).parse_args(rest)
        if not rest:
            return {}
        if rest[0] not in command.commands:
            raise click.UsageError(f"no command {rest[0]} in {command.name}")
        command, rest = command.commands[rest[0]], rest[1:]
    values, more, _ = command.make_parser(context).parse_args(rest)
    if more and more != ["0"]:
        raise click.UsageError(f"{command.name}: too many arguments: {more}")
    for parameter in command.get_params(context):
        value = values.get(str(parameter.name))
        if not isinstance(value, str | list | tuple | bool | int):  # click's sign for what is not given
            if parameter.required and not is_open and "help" not in values:
                raise click.UsageError(f"{command.name}: lacks {parameter.name}")
        elif isinstance(parameter.type, click.Choice | click.IntRange | click.FloatRange):
            for each in value if isinstance(value, list | tuple) else [value]:
                if "$" not in str(each):
                    parameter.type.convert(each, parameter, context)
    return dict(values)


def options() -> set[str]:
    """Every option of every command."""
    found: set[str] = set()
    commands: list[click.Command] = [main]
    while commands:
        command = commands.pop()
        if isinstance(command, click.Group):
            commands.extend(command.commands.values())
        for parameter in command.get_params(click.Context(command)):
            found.update((*parameter.opts, *parameter.secondary_opts))
    return found
