"""The image encoder: a vision network without its classifier, pooled or as a grid, and how a recipe names one.

To add a kind of image encoder, load it in `load_image`, rebuild it in `rebuild_image`, and, for fusion=transformer,
give it a `features` module whose output is the grid. The name of one that starts from nothing is one of
`IMAGE_FROM_SCRATCH` in distill.core.settings.model_config, which all else follows from.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from distill.core.errors import BackboneError
from distill.core.settings.model_config import CNN, ImageTower
from distill.model.encoders.cnn import small_cnn
from distill.model.encoders.config import without_hub
from distill.model.encoders.weights import loading_errors, pretrained_transformer, untrained_transformer
from distill.preprocess.images import ImageSpec

IMAGENET_MEAN: tuple[float, ...] = (0.485, 0.456, 0.406)
IMAGENET_STD: tuple[float, ...] = (0.229, 0.224, 0.225)
# Where torchvision's models keep the layers that come after the pooled features.
CLASSIFIER_NAMES = ("fc", "classifier", "heads", "head")


class ImageEncoder(nn.Module):
    """A vision network without its classifier: pixels float (B, 3, H, W) to float (B, width), or with `grid` to the
    cells of its last feature map, float (B, cells, width). `shape` is that of one image's output."""

    def __init__(self, backbone: nn.Module, size: int, grid: bool = False) -> None:
        """Raises BackboneError for `grid` with a network that has no feature map to show."""
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
        """Pooled features, or the grid's cells."""
        return self._cells(pixels) if self.grid else self._pooled(pixels)

    def _cells(self, pixels: Tensor) -> Tensor:
        if hasattr(self.backbone, "features"):
            maps = self.backbone.features(pixels)
        elif hasattr(self.backbone, "layer4"):  # a ResNet: everything before its pooling
            maps = pixels
            for name, layer in self.backbone.named_children():
                if name == "avgpool":
                    break
                maps = layer(maps)
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
class LoadedImage:
    """An image encoder with the preprocessing that its weights were trained with."""

    encoder: ImageEncoder
    spec: ImageSpec


def load_image(config: ImageTower, where: str, grid: bool = False) -> LoadedImage:
    """The encoder that `config.model` names: "cnn", a torchvision model, or a hub id or directory of transformers.
    Raises BackboneError; `where` is "teacher" or "student", for the messages."""
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    key = f"{where}.image.model"
    if config.model == CNN:
        backbone: nn.Module = small_cnn()
    elif _is_torchvision(config.model):
        with loading_errors(config.model, key):
            backbone = _torchvision(config.model, config.weights or None)
    else:
        backbone = pretrained_transformer(config.model, key)
        mean, std = _normalisation(config.model)
    spec = ImageSpec(size=config.size, fit=config.fit, mean=mean, std=std)
    return LoadedImage(ImageEncoder(backbone, config.size, grid), spec)


def rebuild_image(folder: Path, config: ImageTower, grid: bool = False) -> ImageEncoder:
    """The encoder with random weights for a checkpoint to fill; a transformers one as `save_config` wrote it to
    `folder`."""
    if config.model == CNN:
        backbone: nn.Module = small_cnn()
    elif _is_torchvision(config.model):
        backbone = _torchvision(config.model, None)
    else:
        backbone = untrained_transformer(folder)
    return ImageEncoder(backbone, config.size, grid)


def _is_torchvision(model: str) -> bool:
    """A name with a slash, or of a directory, is Hugging Face's; any other is torchvision's."""
    return "/" not in model and not Path(model).is_dir()


def _normalisation(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and std that a Hugging Face vision model was trained with; ImageNet's where it names none."""
    from transformers import AutoImageProcessor

    local = Path(model).is_dir()
    try:
        with without_hub() if local else nullcontext():
            processor = AutoImageProcessor.from_pretrained(
                model, use_fast=True, trust_remote_code=False, local_files_only=local
            )
        return tuple(processor.image_mean), tuple(processor.image_std)
    except (OSError, ValueError, AttributeError):
        return IMAGENET_MEAN, IMAGENET_STD


def _torchvision(name: str, weights: str | None) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):  # those of detection and the like fetch weights of their own
        raise BackboneError(f"image.model={name}: torchvision has no such model, and no directory has that name")
    model: nn.Module = models.get_model(name, weights=weights)
    for attribute in CLASSIFIER_NAMES:
        if hasattr(model, attribute):
            setattr(model, attribute, nn.Identity())
            return model
    raise BackboneError(f"image.model={name}: no classifier layer found to take off; choose another model")
