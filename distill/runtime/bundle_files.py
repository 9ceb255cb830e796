"""The files in a Bundle's folder: their names, how large they may be, and the check of their checksums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import BundleError
from distill.core.files import sha256_of
from distill.core.inputs import read_input
from distill.core.untrusted import is_file
from distill.runtime.onnx.guard import MAX_BYTES

MANIFEST = "manifest.json"
# Each file and how many bytes it may have: many times what any has, and little enough to be read at once.
LIMITS = {
    "model.onnx": MAX_BYTES,
    "tokenizer.json": 64 << 20,
    "labels.txt": 1 << 20,
    "thresholds.json": 1 << 20,
    "preprocess.json": 1 << 16,
    "recipe.json": 1 << 20,
    "golden.json": 16 << 20,
    "README.md": 1 << 20,
}
FILES = tuple(LIMITS)
ALL_FILES = (*FILES, MANIFEST)
MANIFEST_LIMIT = 4 << 20


@dataclass(frozen=True)
class FileState:
    """What changes when a file is replaced or written to."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Raises BundleError for a file that is missing."""
        try:
            stat = path.stat()
        except OSError as error:
            raise BundleError(
                f"{path}: missing or not a plain file: {error.strerror}; copy the Bundle again"
            ) from error
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def read_verified(folder: Path, manifest: dict[str, Any]) -> dict[str, bytes]:
    """Verify the checksum of every file and return the content of all but the model. Raises BundleError.

    Only the names in FILES are ever opened: a manifest that lists ../x or C:\\x is refused.
    """
    checksums = manifest.get("files")
    if not isinstance(checksums, dict) or set(checksums) != set(FILES):
        raise BundleError(
            f"{folder / MANIFEST}: does not list the {len(FILES)} files of a Bundle; run distill export again"
        )
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
            contents[name] = read_input(path, limit, BundleError, links=False)
            sha256 = hashlib.sha256(contents[name]).hexdigest()
        if sha256 != checksums[name]:
            raise BundleError(
                f"{path}: its content does not match its SHA-256 in {MANIFEST}; copy the Bundle again"
            )
    return contents
