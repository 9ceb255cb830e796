"""Loading pretrained weights, keeping the config.json that rebuilds an encoder, and a fingerprint of weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import nn

from distill.core.errors import BackboneError
from distill.core.files import write_text

CONFIG = "config.json"


@contextmanager
def loading_errors(model: str, key: str) -> Iterator[None]:
    """Turn whatever goes wrong while the weights of `model` load into one BackboneError with the next step; `key`
    is the recipe's."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # its notes about poolers and processors concern parts that are not used
    try:
        yield
    except (URLError, OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise BackboneError(
            f"{key}={model}: no local copy, and no model hub could be reached ({reason}). Put a Hugging Face "
            f"directory (config.json, model.safetensors, tokenizer.json) on this machine and pass --set "
            f"{key}=DIR; torchvision weights go to $TORCH_HOME/hub/checkpoints"
        ) from error


def pretrained_transformer(model: str, key: str) -> Any:
    """A transformers backbone with float32 weights, from a hub id or a directory. Raises BackboneError."""
    from transformers import AutoModel

    with loading_errors(model, key):
        return AutoModel.from_pretrained(model, dtype=torch.float32)


def untrained_transformer(folder: Path) -> Any:
    """The architecture of the config.json in `folder`, with random weights; needs no hub."""
    from transformers import AutoConfig, AutoModel

    return AutoModel.from_config(AutoConfig.from_pretrained(folder, trust_remote_code=False))


def save_config(encoder: nn.Module, folder: Path) -> None:
    """Write the encoder's config.json into `folder`, where it has one: torchvision's models and the CNN are rebuilt
    from the recipe alone."""
    config = getattr(encoder.backbone, "config", None)
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
