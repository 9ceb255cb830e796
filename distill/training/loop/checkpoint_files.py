"""The files of a checkpoint that a resumed training reads: which is damaged, and what it goes on without."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distill.core.errors import RunError
from distill.core.storage.files import read_json

STATE_FILE = "trainer_state.json"  # Trainer writes it last
WEIGHTS, OPTIMIZER, SCHEDULER = "model.safetensors", "optimizer.pt", "scheduler.pt"
STATE_KEYS = ("epoch", "global_step", "log_history", "stateful_callbacks", "best_model_checkpoint")
# What a training lacks that goes on without a file.
COSTS = {
    OPTIMIZER: "the optimizer then starts anew",
    SCHEDULER: "the rate then follows from the number of steps, as it would have",
    "scaler.pt": "the scale of fp16 then starts anew",
    "rng_state": "dropout then draws other numbers",
}


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The content of trainer_state.json. Raises RunError."""
    path = checkpoint / STATE_FILE
    state = read_json(path, RunError)
    if not isinstance(state, dict) or not all(name in state for name in STATE_KEYS):
        raise RunError(f"{path}: damaged; {_earlier(checkpoint)}")
    return state


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The network's weights. Raises RunError."""
    path = checkpoint / WEIGHTS
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: damaged ({str(error).splitlines()[0]}); {_earlier(checkpoint)}") from error


def check_checkpoint(checkpoint: Path) -> None:
    """Raise RunError for a damaged file, with what going on without it costs, before anything is loaded."""
    read_weights(checkpoint)
    for path in sorted(checkpoint.iterdir()):
        cost = next((cost for name, cost in COSTS.items() if path.name.startswith(name)), None)
        if cost is not None and not _is_whole(path):
            raise RunError(
                f"{path}: damaged; remove this file to go on without it ({cost}), or {_earlier(checkpoint)}"
            )


@contextmanager
def explain_load_errors(checkpoint: Path, *names: str) -> Iterator[None]:
    """Turn what goes wrong while files are loaded that are whole, but another training's, into a RunError."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        files = " and ".join(name for name in names if (checkpoint / name).is_file())
        raise RunError(
            f"{checkpoint}: {files} cannot be loaded ({reason}); remove them to go on without, or "
            f"{_earlier(checkpoint)}"
        ) from error


def set_rate_of_step(checkpoint: Path, optimizer: Any, scheduler: torch.optim.lr_scheduler.LambdaLR) -> None:
    """Set the rate to that of the checkpoint's step, whatever was loaded."""
    step = int(read_state(checkpoint)["global_step"])
    scheduler.last_epoch = step
    scheduler._step_count = step + 1
    rates = [base * factor(step) for base, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates


def _is_whole(path: Path) -> bool:
    """Whether all parts of a file of torch.save, a zip archive, have their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, ValueError):
        return False


def _earlier(checkpoint: Path) -> str:
    return f"remove the folder {checkpoint.name} to go on from the checkpoint before it; then --resume"
