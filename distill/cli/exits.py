"""Which exit codes a command has beside those of all: docs/cli.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from distill.core.errors import ExitCode

EVERYWHERE = (ExitCode.DONE, ExitCode.ERROR, ExitCode.INTERRUPTED)


def exits(codes: Mapping[int, str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say when a command exits with these codes; put below `command()` and above the options."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        command.exit_codes = {ExitCode(code): when for code, when in codes.items()}  # type: ignore[attr-defined]
        return command

    return decorate
