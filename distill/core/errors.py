"""The errors that distill raises on purpose. Each message names the thing, the value and the next step.

DistillError              the command line prints its message as one line and exits with its code
├── ArgumentError         an argument of a Python function
├── InstallError          a package is missing, or another one is imported in place of distill's own
├── RecipeError           a recipe file, key or value
├── DataError             a dataset, a row, a label
│   └── ImageError        an image that is missing or cannot be decoded
├── BackboneError         pretrained weights that cannot be loaded
├── RunError              a training run's folder: missing, unfinished, damaged, or in the way
├── BundleError           a Bundle: missing, damaged, or of another format
├── ExportError           a graph that cannot be exported or quantised
│   └── ParityError       an exported graph whose outputs differ from its parent's (exit code 1)
├── BenchError            a variant that cannot be measured
├── ClusterError          machines that cannot be reached, or workers that were lost
├── ServiceError          a service that cannot start: its address is in use or not available
└── OutputError           a file that cannot be written: the disk is full, or another run's answers are there
"""

from __future__ import annotations

from enum import IntEnum

from distill.core.output.printable import printable_line


class ExitCode(IntEnum):
    """What the command line exits with."""

    DONE = 0
    FAILED = 1
    ERROR = 2
    KEPT_OLD = 3
    INTERRUPTED = 130


MEANINGS = {  # the one table of exit codes, which docs/cli.md shows
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the command ran, and what it reads or checks failed: a row, a rule, a comparison",
    ExitCode.ERROR: "an error: a mistake in the command or its input, a missing package, a full disk",
    ExitCode.KEPT_OLD: "`distill retrain` kept the earlier run",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


class DistillError(Exception):
    """An error that the user can fix. `exit_code` is what the command line exits with; its text is one line, with
    escapes for what would command a terminal or hide."""

    exit_code = ExitCode.ERROR

    def __str__(self) -> str:
        return printable_line(super().__str__())


class ArgumentError(DistillError):
    """An argument of a Python function is invalid."""


class InstallError(DistillError):
    """A package is missing, or another one is imported in place of distill's own."""


class RecipeError(DistillError):
    """A recipe file, key or value is invalid."""


class DataError(DistillError):
    """A dataset, a row or a label is invalid."""


class ImageError(DataError):
    """An image is missing or cannot be decoded."""


class BackboneError(DistillError):
    """Pretrained weights cannot be loaded."""


class RunError(DistillError):
    """A training run's folder is missing, unfinished, damaged, or in the way."""


class BundleError(DistillError):
    """A Bundle is missing, damaged, or of another format."""


class ExportError(DistillError):
    """A graph cannot be exported or quantised."""


class ParityError(ExportError):
    """An exported graph's outputs differ from its parent's."""

    exit_code = ExitCode.FAILED


class BenchError(DistillError):
    """A variant cannot be measured."""


class ClusterError(DistillError):
    """Machines cannot be reached, or workers were lost."""


class ServiceError(DistillError):
    """A service cannot start at the address given."""


class OutputError(DistillError):
    """A file cannot be written: the disk is full, or another run's answers are there."""


def first_line(error: Exception) -> str:
    """The first line of another package's error, or its type where it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
