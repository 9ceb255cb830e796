"""Every error that distill raises on purpose. Knows messages, not causes.

    DistillError                what the command line turns into one line and an exit code
    ├── RecipeError             a recipe file, key or value
    ├── DataError               a dataset, a row, a label
    │   └── ImageError        one image that is missing or cannot be decoded
    ├── BackboneError           pretrained weights that cannot be reached or do not fit
    ├── RunError                a training run's folder: absent, unfinished, damaged, or in the way
    ├── BundleError             a Bundle: absent, damaged, or of another format
    ├── ExportError             a graph that cannot be exported or quantised
    │   └── ParityError         an exported graph that does not answer as its parent does (exit code 1)
    ├── BenchError              a variant that cannot be measured
    ├── OcrError                no way to read the text on images
    ├── ClusterError            machines that cannot be reached, or workers that were lost
    ├── ServiceError            a service that cannot start: its address is taken, or not this machine's
    └── OutputError             a file that cannot be written: no room, or answers of another run in the way

Each message names the thing, the value and the next step.
"""

from __future__ import annotations


class DistillError(Exception):
    """A mistake that the user can mend. `exit_code` is what the command line exits with."""

    exit_code = 2


class RecipeError(DistillError):
    """A recipe file, key or value is not acceptable."""


class DataError(DistillError):
    """A dataset, a row or a label is not acceptable."""


class ImageError(DataError):
    """One image is missing or cannot be decoded."""


class BackboneError(DistillError):
    """Pretrained weights cannot be reached or do not fit."""


class RunError(DistillError):
    """A training run's folder is absent, unfinished, damaged, or in the way."""


class BundleError(DistillError):
    """A Bundle is absent, damaged, or of another format."""


class ExportError(DistillError):
    """A graph cannot be exported or quantised."""


class ParityError(ExportError):
    """An exported graph does not answer as its parent does."""

    exit_code = 1


class BenchError(DistillError):
    """A variant cannot be measured."""


class OcrError(DistillError):
    """The text on images cannot be read here: what it needs is not installed."""


class ClusterError(DistillError):
    """Machines cannot be reached, or their workers were lost."""


class ServiceError(DistillError):
    """A service cannot start where it was asked to."""


class OutputError(DistillError):
    """A file cannot be written: there is no room, or another run's answers are in the way."""
