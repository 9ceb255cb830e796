"""What every command does with an error: one line and an exit code. Knows click and the error tree."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

import click

from distill.cli.everywhere import DEBUG, add_everywhere
from distill.core.errors import DistillError, ExitCode
from distill.core.extras import explain_import_error
from distill.core.output.printable import printable_line
from distill.core.output.streams import printable_streams
from distill.core.output.volume import restored_volume
from distill.core.storage.files import describe_os_error


class Once(click.Group):
    """A group whose commands take no option twice that has one value: click would let the last one count, and drop
    the others without a word."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's. Raises click.UsageError."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:
            _refuse_repeated(click.Context(command, parent=ctx, info_name=name), rest)
        return name, command, rest


def _refuse_repeated(context: click.Context, args: Sequence[str]) -> None:
    try:
        given = context.command.make_parser(context).parse_args(list(args))[2]
    except click.UsageError:
        return  # which is said when the command reads them
    for option in given:
        has_one = isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count)
        if has_one and (times := sum(other is option for other in given)) > 1:
            called = max(option.opts, key=len)
            raise click.UsageError(f"{called} is given {times} times, and takes one value; give one", context)


class Commands(Once):
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
        add_everywhere(self)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them under their headings, with the first sentence of each."""
        width = max(len(name) for names in self.sections.values() for name in names)
        for title, names in self.sections.items():
            with formatter.section(title):
                helps = [(name.ljust(width), self.commands[name].get_short_help_str(80)) for name in names]
                formatter.write_dl(helps)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program; whatever it prints is made printable."""
        with printable_streams(), restored_volume():
            return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's; mistakes are told in the form of all errors."""
        with _one_form():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, translating what it raises."""
        try:
            with _one_form():
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
        except Exception as error:
            if ctx.meta.get(DEBUG):
                raise
            self._translate(ctx, error)
            raise
        except KeyboardInterrupt as stop:  # who knows more than this says so
            if ctx.meta.get(DEBUG):
                raise
            what = stop.args[0] if stop.args else "an interrupted training goes on with --resume"
            _fail(ctx, f"interrupted; {what}", ExitCode.INTERRUPTED)

    def _translate(self, ctx: click.Context, error: Exception) -> None:
        """Exit with one line about an error that a user can mend."""
        if isinstance(error, DistillError):
            _fail(ctx, str(error), error.exit_code)
        if isinstance(error, ImportError) and (known := explain_import_error(error, "this command")) is not None:
            _fail(ctx, str(known), known.exit_code)
        if isinstance(error, OSError) and error.strerror is not None:
            _fail(ctx, describe_os_error(error), ExitCode.ERROR)


class WithDefault(Once):
    """A group whose command `default` is meant when no other one is named: `distill bench BUNDLE`; also `alone`,
    without any word, if that is so."""

    def __init__(self, *args: Any, default: str = "run", alone: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.default, self.alone = default, alone

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `default` in front of what names no command; a folder named as a command is given as ./pack."""
        if (args or self.alone) and args[:1] not in [[name] for name in (*self.commands, "-h", "--help")]:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


def say_error(message: str) -> None:
    """Print an error, in the form that all have: one line on standard error."""
    click.echo(f"error: {printable_line(message)}", err=True)


@contextmanager
def _one_form() -> Iterator[None]:
    """Let click's own errors, which are about how a command was written, look like all others."""
    try:
        yield
    except click.ClickException as error:
        if not isinstance(error, click.exceptions.NoArgsIsHelpError):  # which shows the help
            error.exit_code = ExitCode.ERROR  # type: ignore[misc]
            error.show = partial(_show, error)  # type: ignore[method-assign]
        raise


def _show(error: click.ClickException, file: Any = None) -> None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.", err=True)
    say_error(error.format_message())


def _fail(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    if _speaks():
        say_error(message)
    ctx.exit(exit_code)


def _speaks() -> bool:
    distributed = _distributed()
    return distributed is None or bool(distributed.is_first_to_fail())


def _distributed() -> Any:
    """distill.model.distributed, where a command has imported it, and torch with it."""
    return sys.modules.get("distill.model.distributed")
