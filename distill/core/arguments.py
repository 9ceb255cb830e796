"""Checks of what Python code passes to distill's functions; the command line checks its options itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from distill.core.errors import ArgumentError, OutputError
from distill.core.extras import explain_import_error
from distill.core.storage.files import describe_os_error
from distill.core.untrusted import short_repr

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def check_margin(margin: float) -> float:
    """The margin of a verdict. Raises ArgumentError for one that is no difference of F1."""
    if isinstance(margin, bool) or not isinstance(margin, float | int) or not 0 < margin < 1:
        raise ArgumentError(
            f"margin must be a difference of F1 between 0 and 1, such as 0.01; got {short_repr(margin)}"
        )
    return margin


def to_path(name: str, value: Any) -> Path:
    """The path of a str or an os.PathLike of str. Raises ArgumentError for anything else."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise ArgumentError(f"{name} must be a path, a str or pathlib.Path; got {short_repr(value)}")
    return Path(path)


def to_paths(name: str, value: Any) -> list[Path]:
    """One path, or the paths of a sequence that is not empty. Raises ArgumentError."""
    if isinstance(value, str | os.PathLike):
        return [to_path(name, value)]
    if not isinstance(value, list | tuple) or not value:
        raise ArgumentError(f"{name} must be a path or a list of paths; got {short_repr(value)}")
    return [to_path(name, each) for each in value]


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ArgumentError unless `value` is one of the choices."""
    if value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(choices)}; got {short_repr(value)}")


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise ArgumentError unless `value` is an int from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
        limits = f">= {low}" if high is None else f"from {low} to {high}"
        raise ArgumentError(f"{name} must be an integer {limits}; got {short_repr(value)}")


def translates_os_errors(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a public function: an OSError becomes an OutputError of one line, and a missing optional package an
    InstallError."""

    @wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            raise OutputError(describe_os_error(error)) from error
        except ImportError as error:
            if (known := explain_import_error(error, f"distill.{function.__name__}")) is None:
                raise
            raise known from error

    return wrapped
