"""A frozen image tower's features, computed once and cached by content. Knows files and one encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill.core.errors import OutputError
from distill.core.files import cache_folder, write_bytes
from distill.core.terminal import note, track
from distill.data.checks import image_hash
from distill.data.dataset import Example
from distill.model import distributed as processes
from distill.model.augment.image import ImageAugmenter
from distill.model.encoders import ImageEncoder, fingerprint
from distill.preprocess.images import ImageSpec, image_to_uint8, normalise

BATCH = 16
VIEWS = "v1"  # of what an augmenter does: a change of its operations must miss the cache


@dataclass(frozen=True)
class View:
    """One of several changed views of each image, the same one whenever it is asked for by this number."""

    augmenter: ImageAugmenter
    number: int


def image_features(
    encoder: ImageEncoder,
    spec: ImageSpec,
    examples: Sequence[Example],
    device: torch.device,
    view: View | None = None,
) -> NDArray[np.float32]:
    """float32 (N, *encoder.shape) of each example's image, in the order of the examples; zeros where it has none.

    A feature is named by the image's content, the encoder's weights and the preprocessing, so a change
    of any of them misses the cache. With `view`, the images are changed first. Raises ImageError.
    """
    folder = cache_folder() / "features" / fingerprint(encoder)[:16] / _name(spec, encoder, view)
    images = [example.image for example in examples]
    names = ["" if image is None else image_hash(image) for image in images]
    found = {"": np.zeros(encoder.shape, dtype=np.float32)}
    for name in set(names) - {""}:
        feature = _read(folder / name[:2] / name, encoder.shape)
        if feature is not None:
            found[name] = feature
    missing = {n: image for n, image in zip(names, images, strict=True) if image is not None and n not in found}
    if missing:
        what = "image features" if view is None else f"image features, view {view.number}"
        note(f"{what}: {len(missing)} to compute, {len(names) - len(missing)} from the cache")
    todo = list(missing.items())
    processes.meet()  # all have looked before one of them writes
    found |= _computed(encoder, spec, todo[processes.rank() :: processes.count()], device, folder, view)
    processes.meet()
    for name in [name for name, _ in todo if name not in found]:  # the other processes' shares
        feature = _read(folder / name[:2] / name, encoder.shape)
        if feature is not None:
            found[name] = feature
    found |= _computed(encoder, spec, [item for item in todo if item[0] not in found], device, folder, view)
    return np.stack([found[name] for name in names])


def _computed(
    encoder: ImageEncoder,
    spec: ImageSpec,
    todo: list[tuple[str, Path]],
    device: torch.device,
    folder: Path,
    view: View | None,
) -> dict[str, NDArray[np.float32]]:
    """The features of these images by their names, which are kept in `folder` too."""
    found = {}
    starts = range(0, len(todo), BATCH)
    for start in track(starts, "image features", len(starts)):
        batch = todo[start : start + BATCH]
        pixels = normalise(np.stack([_pixels(image, spec, name, view) for name, image in batch]), spec)
        for (name, _), feature in zip(batch, _run(encoder, pixels, device), strict=True):
            _keep(folder / name[:2] / name, feature)
            found[name] = feature
    return found


def _name(spec: ImageSpec, encoder: ImageEncoder, view: View | None) -> str:
    changed = "" if view is None else f"-{VIEWS}-{view.augmenter.strength:g}-{view.number}"
    return f"{spec.fit}-{spec.size}{'-grid' * encoder.grid}{changed}"


def _pixels(image: Path, spec: ImageSpec, name: str, view: View | None) -> NDArray[np.uint8]:
    if view is None:
        return image_to_uint8(image, spec)
    return view.augmenter.pixels(image, spec, seed=int(name[:12], 16) + view.number)


def _run(encoder: ImageEncoder, pixels: NDArray[np.float32], device: torch.device) -> NDArray[np.float32]:
    encoder.eval()
    with torch.no_grad():
        result: NDArray[np.float32] = encoder(torch.from_numpy(pixels).to(device)).float().cpu().numpy()
    return result


def _keep(path: Path, feature: NDArray[np.float32]) -> None:
    try:
        write_bytes(path, feature.tobytes())
    except OutputError as error:
        raise OutputError(f"{error}; or set DISTILL_CACHE to a folder with room") from error


def _read(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) != 4 * math.prod(shape):  # not ours, or of another version: compute it again
        return None
    return np.frombuffer(content, dtype=np.float32).reshape(shape)
