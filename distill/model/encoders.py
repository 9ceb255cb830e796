"""Text and image encoders by name, pretrained or rebuilt from their configuration. Knows torch models,
not labels or losses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers
from torch import Tensor, nn

from distill.core.errors import BackboneError, RunError
from distill.core.files import read_json, write_text
from distill.core.recipe import ImageTower, TextTower
from distill.core.schema import build_dataclass
from distill.model.pruning import keep_layers, prune_vocabulary
from distill.model.scratch import CNN, LSTM, PAD, Lstm, LstmConfig, small_cnn, word_pieces
from distill.preprocess.images import ImageSpec
from distill.preprocess.text import TextSpec

IMAGENET_MEAN: tuple[float, ...] = (0.485, 0.456, 0.406)
IMAGENET_STD: tuple[float, ...] = (0.229, 0.224, 0.225)
# Where torchvision classifiers keep the layers that come after the pooled features.
CLASSIFIER_NAMES = ("fc", "classifier", "heads", "head")


class TextEncoder(nn.Module):
    """A transformer and its pooling: input_ids, attention_mask int64 (B, T) -> float (B, width)."""

    def __init__(self, backbone: nn.Module, pooling: Literal["mean", "cls"]) -> None:
        super().__init__()
        if getattr(backbone, "pooler", None) is not None:
            backbone.pooler = None  # its output is not used, so it is neither trained nor shipped
        self.backbone = backbone
        self.pooling = pooling
        self.width = int(backbone.config.hidden_size)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The pooled vector."""
        return self.pool(self.states(input_ids, attention_mask), attention_mask)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Every token's last state, float (B, T, width)."""
        states: Tensor = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states

    def embeddings(self) -> NDArray[np.float32] | None:
        """The table of the tokens' own vectors, (V, width of it); None of an encoder that started from nothing."""
        if isinstance(self.backbone, Lstm):
            return None
        table: NDArray[np.float32] = self.backbone.get_input_embeddings().weight.detach().float().cpu().numpy()
        return table

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean over the tokens that are there, or the first token's state: (B, T, width) to (B, width)."""
        if self.pooling == "cls":
            return hidden[:, 0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)


class ImageEncoder(nn.Module):
    """A vision network without its classifier: pixels float (B, 3, H, W) -> float (B, width), or with `grid` the
    vectors of its last map, float (B, cells, width). `shape` is that of one image's."""

    def __init__(self, backbone: nn.Module, size: int, grid: bool = False) -> None:
        """Raises BackboneError when a grid is wanted of a network that shows none."""
        super().__init__()
        self.backbone = backbone
        self.grid = grid
        was_training = backbone.training
        backbone.eval()
        with torch.no_grad():
            self.shape = tuple(self(torch.zeros(1, 3, size, size)).shape[1:])
        self.width = int(self.shape[-1])
        backbone.train(was_training)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pooled features, flat; or the grid's."""
        return self._cells(pixels) if self.grid else self._pooled(pixels)

    def _cells(self, pixels: Tensor) -> Tensor:
        if hasattr(self.backbone, "features"):
            maps = self.backbone.features(pixels)
        elif hasattr(self.backbone, "layer4"):  # a ResNet: everything before its pooling
            maps = pixels
            for name, part in self.backbone.named_children():
                if name == "avgpool":
                    break
                maps = part(maps)
        elif hasattr(self.backbone, "config"):
            maps = self.backbone(pixels).last_hidden_state
        else:
            raise BackboneError(
                f"{type(self.backbone).__name__}: shows no grid of features; take head.fusion=concat, or a ResNet, "
                "MobileNet or EfficientNet"
            )
        return maps.flatten(2).transpose(1, 2) if maps.ndim == 4 else maps

    def _pooled(self, pixels: Tensor) -> Tensor:
        output = self.backbone(pixels)
        if isinstance(output, Tensor):
            return output.flatten(1)
        pooled = getattr(output, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        hidden = output.last_hidden_state
        return hidden.flatten(2).mean(2) if hidden.ndim == 4 else hidden.mean(1)


@dataclass(frozen=True)
class LoadedText:
    """A text encoder with the text of its tokenizer.json."""

    encoder: TextEncoder
    tokenizer_json: str
    spec: TextSpec


@dataclass(frozen=True)
class LoadedImage:
    """An image encoder with the preprocessing that its weights were trained with."""

    encoder: ImageEncoder
    spec: ImageSpec


def load_text(config: TextTower, where: str, texts: Sequence[str]) -> LoadedText:
    """Pretrained text encoder and fast tokenizer from a hub id or a directory, made smaller where the recipe
    says so. Raises BackboneError.

    `where` is "teacher" or "student", for the message; the words of `texts` stay in a pruned vocabulary.
    """
    from transformers import AutoModel, AutoTokenizer

    if config.model == LSTM:
        return _lstm(config, texts)
    with _explained(config.model, f"{where}.text.model"):
        tokenizer = AutoTokenizer.from_pretrained(config.model, use_fast=True)
        backbone = AutoModel.from_pretrained(config.model, dtype=torch.float32)
    if not tokenizer.is_fast:
        raise BackboneError(f"{where}.text.model={config.model}: has no tokenizer.json; convert it to a fast one")
    if tokenizer.pad_token_id is None:
        raise BackboneError(f"{where}.text.model={config.model}: its tokenizer names no padding token")
    limit = int(getattr(backbone.config, "max_position_embeddings", config.max_tokens))
    if config.max_tokens > limit:
        raise BackboneError(f"{where}.text.max_tokens={config.max_tokens}: {config.model} takes {limit} at most")
    backend = tokenizer.backend_tokenizer
    if config.lowercase:
        present = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])
    tokenizer_json = backend.to_str()
    if config.layers:
        keep_layers(backbone, config.layers)
    if config.vocab_size:
        tokenizer_json = prune_vocabulary(backbone, tokenizer_json, texts, config.vocab_size)
    pad_id = Tokenizer.from_str(tokenizer_json).token_to_id(tokenizer.pad_token)
    spec = TextSpec(max_tokens=config.max_tokens, pad_id=int(pad_id))
    return LoadedText(TextEncoder(backbone, config.pooling), tokenizer_json, spec)


def _lstm(config: TextTower, texts: Sequence[str]) -> LoadedText:
    """An untrained LSTM over word pieces learned from the texts."""
    tokenizer = word_pieces(texts)
    backbone = Lstm(LstmConfig(tokenizer.get_vocab_size()))
    spec = TextSpec(max_tokens=config.max_tokens, pad_id=tokenizer.token_to_id(PAD))
    return LoadedText(TextEncoder(backbone, config.pooling), tokenizer.to_str(), spec)


def load_image(config: ImageTower, where: str, grid: bool = False) -> LoadedImage:
    """Pretrained image encoder from torchvision or, for a hub id or directory, transformers.

    Raises BackboneError.
    """
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if config.model == CNN:
        backbone: nn.Module = small_cnn()
    elif is_torchvision(config.model):
        with _explained(config.model, f"{where}.image.model"):
            backbone = _torchvision(config.model, config.weights or None)
    else:
        from transformers import AutoModel

        with _explained(config.model, f"{where}.image.model"):
            backbone = AutoModel.from_pretrained(config.model, dtype=torch.float32)
        mean, std = _normalisation(config.model)
    spec = ImageSpec(size=config.size, fit=config.fit, mean=mean, std=std)
    return LoadedImage(ImageEncoder(backbone, config.size, grid), spec)


def rebuild_text(folder: Path, config: TextTower) -> TextEncoder:
    """The architecture that `save_configs` wrote, with random weights to be filled from a checkpoint."""
    from transformers import AutoConfig, AutoModel

    if config.model == LSTM:
        tree = read_json(folder / "text" / "config.json", RunError)
        return TextEncoder(Lstm(build_dataclass(LstmConfig, tree, "text.config")), config.pooling)
    return TextEncoder(
        AutoModel.from_config(AutoConfig.from_pretrained(folder / "text", trust_remote_code=False)), config.pooling
    )


def rebuild_image(folder: Path, config: ImageTower, grid: bool = False) -> ImageEncoder:
    """As `rebuild_text`, for the image."""
    if config.model == CNN:
        return ImageEncoder(small_cnn(), config.size, grid)
    if is_torchvision(config.model):
        return ImageEncoder(_torchvision(config.model, None), config.size, grid)
    from transformers import AutoConfig, AutoModel

    backbone = AutoModel.from_config(AutoConfig.from_pretrained(folder / "image", trust_remote_code=False))
    return ImageEncoder(backbone, config.size, grid)


def save_configs(text: TextEncoder, image: ImageEncoder, folder: Path) -> None:
    """Write what `rebuild_text` and `rebuild_image` need, so that a run opens without any hub."""
    for name, encoder in (("text", text), ("image", image)):
        config = getattr(encoder.backbone, "config", None)
        if config is not None:
            (folder / name).mkdir(exist_ok=True)
            write_text(folder / name / "config.json", json.dumps(config.to_dict(), indent=1))


def is_torchvision(model: str) -> bool:
    """A name with a slash or of a directory is Hugging Face's; any other is torchvision's."""
    return "/" not in model and not Path(model).is_dir()


def fingerprint(encoder: nn.Module) -> str:
    """Hex SHA-256 over the names, shapes and bytes of the weights: what a feature cache depends on."""
    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _normalisation(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and std that a Hugging Face vision model was trained with; ImageNet's when it names none."""
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(model, use_fast=True)
        return tuple(processor.image_mean), tuple(processor.image_std)
    except (OSError, ValueError, AttributeError):
        return IMAGENET_MEAN, IMAGENET_STD


def _torchvision(name: str, weights: str | None) -> nn.Module:
    from torchvision.models import get_model, list_models

    if name not in list_models():
        raise BackboneError(f"image.model={name}: torchvision has no such model, and no directory has that name")
    model: nn.Module = get_model(name, weights=weights)
    for attribute in CLASSIFIER_NAMES:
        if hasattr(model, attribute):
            setattr(model, attribute, nn.Identity())
            return model
    raise BackboneError(f"image.model={name}: no classifier layer found to take off; choose another model")


@contextmanager
def _explained(model: str, key: str) -> Iterator[None]:
    """Turn the many errors of weight loading into one line that says what to put where."""
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
