"""Loading pretrained weights, keeping the config.json that rebuilds an encoder, and a fingerprint of weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import nn

from distill.core.errors import BackboneError, RunError
from distill.core.storage.files import read_json, write_text
from distill.data.run_folder import WEIGHTS
from distill.model.encoders.config import CONFIG, build_config, without_hub

SLACK_BYTES = 64 << 20


@contextmanager
def loading_errors(model: str, key: str) -> Iterator[bool]:
    """Turn whatever goes wrong while the weights of `model` load into one BackboneError with the next step; `key`
    is the recipe's. Yields whether `model` is a directory here, for which nothing is fetched."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # its notes about poolers and processors concern parts that are not used
    local = Path(model).is_dir()
    try:
        with without_hub() if local else nullcontext(), without_bars() if local else nullcontext():
            yield local
    except (URLError, OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise BackboneError(
            f"{key}={model}: no local copy, and no model hub could be reached ({reason}). Put a Hugging Face "
            f"directory (config.json, model.safetensors, tokenizer.json) on this machine and pass --set "
            f"{key}=DIR; torchvision weights go to $TORCH_HOME/hub/checkpoints"
        ) from error


@contextmanager
def without_bars() -> Iterator[None]:
    """No progress bars of transformers in the block, for what takes no time."""
    from transformers.utils import logging

    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


def pretrained_transformer(model: str, key: str) -> Any:
    """A transformers backbone with float32 weights, from a hub id or a directory. Raises BackboneError."""
    from transformers import AutoModel, PretrainedConfig

    with loading_errors(model, key) as local:
        if local:
            tree = read_json(Path(model) / CONFIG, BackboneError)
        else:
            tree, _ = PretrainedConfig.get_config_dict(model)
        config = build_config(tree, f"{key}={model}", BackboneError)
        return AutoModel.from_pretrained(
            model, config=config, dtype=torch.float32, trust_remote_code=False, local_files_only=local
        )


def untrained_transformer(folder: Path) -> Any:
    """The architecture of the config.json in a run's `folder`, with random weights; needs no hub. Raises RunError,
    also for one that has far more weights than the run's file."""
    from transformers import AutoModel

    config = build_config(read_json(folder / CONFIG, RunError), str(folder / CONFIG), RunError)
    with without_hub():
        with torch.device("meta"):
            size_bytes = sum(4 * p.numel() for p in AutoModel.from_config(config).parameters())
        refuse_larger_than_weights(folder, size_bytes)
        return AutoModel.from_config(config)


def refuse_larger_than_weights(folder: Path, size_bytes: int) -> None:
    """Raise RunError where the config.json in a run's `folder` describes far more weights than the run has."""
    if size_bytes > 2 * (folder.parent / WEIGHTS).stat().st_size + SLACK_BYTES:  # poolers are not saved
        raise RunError(f"{folder / CONFIG}: describes {size_bytes:,} bytes of weights, {WEIGHTS} is much smaller")


def save_config(encoder: nn.Module, folder: Path) -> None:
    """Write the encoder's config.json into `folder`, where it has one: torchvision's models and the CNN are rebuilt
    from the recipe alone."""
    config = getattr(getattr(encoder, "backbone", None), "config", None)
    if config is not None:
        folder.mkdir(exist_ok=True)
        write_text(folder / CONFIG, json.dumps(config.to_dict(), indent=1))


def fingerprint(encoder: nn.Module) -> str:
    """Hex SHA-256 over the names, shapes and bytes of the weights: what a feature cache depends on."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
