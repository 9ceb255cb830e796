"""The options that every command takes, in any position: --debug, -q and -v."""

from __future__ import annotations

import platform
import time
from typing import Any

import click

from distill.core.output.volume import volume

DEBUG = "distill.debug"  # a key of a context's meta, which all contexts of a command share


def add_everywhere(command: click.Command, hidden: bool = False) -> None:
    """Give the options to a command and all below it; only the first shows them in its help."""
    if not any(param.name == "debug" for param in command.params):
        command.params += _options(hidden)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        add_everywhere(below, hidden=True)


def _options(hidden: bool) -> list[click.Parameter]:
    # Eager: they hold for what goes wrong in reading the others.
    how: dict[str, Any] = {"is_flag": True, "expose_value": False, "is_eager": True, "hidden": hidden}
    return [
        click.Option(["-q", "--quiet"], callback=_quiet, help="Print warnings, errors and results alone.", **how),
        click.Option(
            ["-v", "--verbose"], callback=_verbose, help="Print versions, times and libraries' logs.", **how
        ),
        click.Option(["--debug"], callback=_debug, help="Show the traceback of an error.", **how),
    ]


def _debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.meta[DEBUG] = True


def _quiet(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        if volume.started_s is not None:
            raise click.UsageError("--quiet and --verbose exclude each other; give one of them", context)
        volume.notes = False


def _verbose(context: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or volume.started_s is not None:
        return
    if not volume.notes:
        raise click.UsageError("--quiet and --verbose exclude each other; give one of them", context)
    volume.started_s = time.perf_counter()
    import logging

    from distill import __version__
    from distill.core.machine.cores import default_threads
    from distill.core.output.terminal import note

    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    system = f"Python {platform.python_version()}, {platform.platform()}"
    note(f"distill {__version__}, {system}, {default_threads()} CPUs available")
