"""A frozen picture branch's features, computed once and cached by content. Knows files and one encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill.data import Example
from distill.encoders import PictureEncoder, fingerprint
from distill.errors import OutputError
from distill.files import cache_folder, write_bytes
from distill.integrity import picture_hash
from distill.preprocess import PictureSpec, normalise, picture_to_uint8
from distill.terminal import note, track

BATCH = 16


def picture_features(
    encoder: PictureEncoder, spec: PictureSpec, examples: Sequence[Example], device: torch.device
) -> NDArray[np.float32]:
    """float32 (N, *encoder.shape) of each example's picture, in the order of the examples; zeros where it has none.

    A feature is named by the picture's content, the encoder's weights and the preprocessing, so a change
    of any of them misses the cache. Raises PictureError.
    """
    folder = (
        cache_folder() / "features" / fingerprint(encoder)[:16] / f"{spec.fit}-{spec.size}{'-grid' * encoder.grid}"
    )
    images = [example.image for example in examples]
    names = ["" if image is None else picture_hash(image) for image in images]
    found = {"": np.zeros(encoder.shape, dtype=np.float32)}
    for name in set(names) - {""}:
        feature = _read(folder / name[:2] / name, encoder.shape)
        if feature is not None:
            found[name] = feature
    missing = {n: image for n, image in zip(names, images, strict=True) if image is not None and n not in found}
    if missing:
        note(f"picture features: {len(missing)} to compute, {len(names) - len(missing)} from the cache")
    todo = list(missing.items())
    starts = range(0, len(todo), BATCH)
    for start in track(starts, "picture features", len(starts)):
        batch = todo[start : start + BATCH]
        pixels = normalise(np.stack([picture_to_uint8(image, spec) for _, image in batch]), spec)
        for (name, _), feature in zip(batch, _run(encoder, pixels, device), strict=True):
            _keep(folder / name[:2] / name, feature)
            found[name] = feature
    return np.stack([found[name] for name in names])


def _run(encoder: PictureEncoder, pixels: NDArray[np.float32], device: torch.device) -> NDArray[np.float32]:
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
