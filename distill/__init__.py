"""Distillation and edge deployment for multi-label classification of images with text.

    predictor = distill.load("runs/bundle")
    predictor.predict(text="WHO DID THIS", image="meme.jpg").labels

docs/python.md walks through it. Importing this module imports nothing else: a name is looked up when it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own takes longer to import than all of this
if TYPE_CHECKING:
    from bench.quality.evaluate import SplitEvaluation as SplitEvaluation
    from distill.api import evaluate as evaluate
    from distill.api import export as export
    from distill.api import finetune_int8 as finetune_int8
    from distill.api import fit_baselines as fit_baselines
    from distill.api import read_dataset as read_dataset
    from distill.api import search_student as search_student
    from distill.api import select as select
    from distill.api import train_student as train_student
    from distill.api import train_teacher as train_teacher
    from distill.core import errors as errors
    from distill.core.errors import DistillError as DistillError
    from distill.core.settings.columns import Columns as Columns
    from distill.data.dataset import Splits as Splits
    from distill.data.items import FailedRow as FailedRow
    from distill.model.checkpoint import Checkpoint as Checkpoint
    from distill.runtime.bundle import Bundle as Bundle
    from distill.runtime.predictor import Prediction as Prediction
    from distill.runtime.predictor import Predictor as Predictor
    from distill.runtime.predictor import load as load
    from distill.scoring import metrics as metrics
    from distill.training.selection.select import Selection as Selection
    from student.search.report import SearchReport as SearchReport

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "distill.runtime.bundle",
    "Checkpoint": "distill.model.checkpoint",
    "DistillError": "distill.core.errors",
    "FailedRow": "distill.data.items",
    "Prediction": "distill.runtime.predictor",
    "Predictor": "distill.runtime.predictor",
    "SearchReport": "student.search.report",
    "Selection": "distill.training.selection.select",
    "SplitEvaluation": "bench.quality.evaluate",
    "Splits": "distill.data.dataset",
    "errors": "distill.core.errors",
    "evaluate": "distill.api",
    "export": "distill.api",
    "fit_baselines": "distill.api",
    "finetune_int8": "distill.api",
    "load": "distill.runtime.predictor",
    "metrics": "distill.scoring.metrics",
    "Columns": "distill.core.settings.columns",
    "read_dataset": "distill.api",
    "search_student": "distill.api",
    "select": "distill.api",
    "train_student": "distill.api",
    "train_teacher": "distill.api",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'distill' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    from importlib import import_module

    home = import_module(_HOMES[name])
    value = home if name in ("errors", "metrics") else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
