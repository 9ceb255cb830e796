"""Features of a tower that is not trained, on disk: what runs through it once is not run again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from distill.core.storage.cache import cache_folder, optional_write
from distill.core.storage.files import write_bytes
from distill.model.encoders.weights import fingerprint

Features = NDArray[np.float32]  # of one image or text


@dataclass(frozen=True)
class FeatureCache:
    """Features float32 of this shape, each named by the hash of what it is of."""

    folder: Path
    shape: tuple[int, ...]

    @classmethod
    def of(cls, encoder: nn.Module, name: str, shape: tuple[int, ...]) -> FeatureCache:
        """That of an encoder with these weights; `name` says what else its features depend on."""
        return cls(cache_folder() / "features" / fingerprint(encoder)[:16] / name, shape)

    def read(self, hashes: Iterable[str]) -> dict[str, Features]:
        """Those that are there by their hash; one that is unreadable or of another size is not."""
        cached = {}
        for name in hashes:
            with suppress(OSError):
                data = self._path(name).read_bytes()
                if len(data) == 4 * math.prod(self.shape):
                    cached[name] = np.frombuffer(data, dtype=np.float32).reshape(self.shape)
        return cached

    def write(self, name: str, feature: Features) -> None:
        """Keep a feature, if the cache can be written."""
        with optional_write():
            write_bytes(self._path(name), feature.tobytes())

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name
