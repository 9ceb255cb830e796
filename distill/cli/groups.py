"""What every command does with an error: one line and an exit code. Knows click and the error tree."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from distill.core.errors import DistillError
from distill.core.extras import explain_import_error
from distill.core.files import describe_os_error
from distill.core.printable import printable_line
from distill.core.streams import printable_streams


class Commands(click.Group):
    """A group that turns our errors into one line and an exit code; --debug shows the traceback.

    Of several processes that run one command, one says what went wrong: the first that it goes wrong for.
    """

    sections: dict[str, list[str]]

    def add_sections(self, sections: Mapping[str, Sequence[click.Command]]) -> None:
        """Add commands under headings, in this order."""
        self.sections = {title: [str(command.name) for command in commands] for title, commands in sections.items()}
        for commands in sections.values():
            for command in commands:
                self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them under their headings, with the first sentence of each."""
        width = max(len(name) for names in self.sections.values() for name in names)
        for title, names in self.sections.items():
            with formatter.section(title):
                helps = [(name.ljust(width), self.commands[name].get_short_help_str(80)) for name in names]
                formatter.write_dl(helps)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program; whatever it prints is made printable."""
        with printable_streams():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, translating what it raises."""
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        try:
            result = self._translated(ctx)
        except click.exceptions.Exit:
            raise
        except Exception:
            if not _speaks():  # such as of a connection to the one that has failed
                ctx.exit(1)
            raise
        if (distributed := _distributed()) is not None:
            distributed.destroy_process_group()
        return result

    def _translated(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DistillError as error:
            _fail(ctx, str(error), error.exit_code)
        except ImportError as error:
            if (known := explain_import_error(error, "this command")) is None:
                raise
            _fail(ctx, str(known), known.exit_code)
        except OSError as error:
            if error.strerror is None:
                raise
            _fail(ctx, describe_os_error(error), 2)
        except KeyboardInterrupt as stop:  # who knows more than this says so
            what = stop.args[0] if stop.args else "an interrupted training goes on with --resume"
            _fail(ctx, f"interrupted; {what}", 130)


class WithDefault(click.Group):
    """A group whose command `run` is meant when no other one is named: `distill bench BUNDLE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` in front of what names no command; a folder named as a command is given as ./pack."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


def _fail(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    if _speaks():
        click.echo(f"error: {printable_line(message)}", err=True)
    ctx.exit(exit_code)


def _speaks() -> bool:
    distributed = _distributed()
    return distributed is None or bool(distributed.is_first_to_fail())


def _distributed() -> Any:
    """distill.model.distributed, where a command has imported it, and torch with it."""
    return sys.modules.get("distill.model.distributed")
