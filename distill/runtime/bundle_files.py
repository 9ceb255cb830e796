"""The files of a Bundle's folder: their names, how large they may be, and that they are what the manifest says.
Knows bytes, not what they mean."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from distill.core.errors import BundleError
from distill.core.files import sha256_of
from distill.core.untrusted import is_file, read_bounded
from distill.runtime.onnx import guard as onnx_guard

MANIFEST = "manifest.json"
# Each file and how many bytes it may have: many times what any has, and little enough to be read at once.
LIMITS = {
    "model.onnx": onnx_guard.MAX_BYTES,
    "tokenizer.json": 64 << 20,
    "labels.txt": 1 << 20,
    "thresholds.json": 1 << 20,
    "preprocess.json": 1 << 16,
    "recipe.json": 1 << 20,
    "golden.json": 16 << 20,
    "README.md": 1 << 20,
}
FILES = tuple(LIMITS)
MANIFEST_LIMIT = 4 << 20

Stamp = tuple[int, ...]  # device, inode, size, times


def stamp_of(path: Path) -> Stamp:
    """What changes when a file is replaced or written to. Raises BundleError."""
    try:
        known = path.stat()
    except OSError as error:
        raise BundleError(
            f"{path}: missing or not a plain file: {error.strerror}; copy the Bundle again"
        ) from error
    return known.st_dev, known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns


def verified(folder: Path, manifest: dict[str, Any]) -> dict[str, bytes]:
    """The content of every file but the model, after the checksums of all were found right. Raises BundleError.

    The names are those known here: what a manifest calls ../x or C:\\x is no file of a Bundle.
    """
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(FILES):
        raise BundleError(f"{folder / MANIFEST}: does not list the {len(FILES)} files of a Bundle; export again")
    contents = {}
    for name, limit in LIMITS.items():
        path = folder / name
        if path.is_symlink() or not is_file(path):
            raise BundleError(f"{path}: missing or not a plain file; copy the Bundle again or run distill export")
        if name == "model.onnx":
            if path.stat().st_size > limit:
                raise BundleError(f"{path}: has more than {limit:,} bytes, which no ONNX file has; copy it again")
            sha256 = sha256_of(path)
        else:
            contents[name] = read_bounded(path, limit, BundleError)
            sha256 = hashlib.sha256(contents[name]).hexdigest()
        if sha256 != files[name]:
            raise BundleError(f"{path}: its content is not what {MANIFEST} names; copy the Bundle again")
    return contents
