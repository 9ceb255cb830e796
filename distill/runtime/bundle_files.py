"""The files in a Bundle's folder: their names, how large they may be, and the check of their checksums."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.core.errors import BundleError
from distill.core.machine.runtimes import RUNTIMES, Runtime
from distill.core.storage.files import sha256_of
from distill.core.storage.inputs import read_input
from distill.core.untrusted import is_file, short_repr
from distill.runtime.onnx.guard import MAX_BYTES
from distill.runtime.openvino.guard import MAX_XML_BYTES

FORMAT = 4
GROUPS_FORMAT = 5  # of a Bundle with groups of labels, which an earlier version would decide one by one
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 4 << 20
# Each file and how many bytes it may have: many times what any has, and little enough to be read at once.
# The first of a runtime's files is the one that it opens by name.
MODEL_LIMITS: dict[Runtime, dict[str, int]] = {
    "onnxruntime": {"model.onnx": MAX_BYTES},
    "onnxruntime-mobile": {"model.ort": MAX_BYTES, "required_operators.config": 1 << 20},
    "openvino": {"model.xml": MAX_XML_BYTES, "model.bin": MAX_BYTES},
    "litert": {"model.tflite": MAX_BYTES},
}
SHARED_LIMITS = {
    "tokenizer.json": 64 << 20,
    "labels.txt": 1 << 20,
    "thresholds.json": 1 << 20,
    "preprocess.json": 1 << 16,
    "recipe.json": 1 << 20,
    "golden.json": 16 << 20,
    "README.md": 1 << 20,
}
# Of every file that a Bundle of any runtime may have.
LIMITS = {name: size for files in MODEL_LIMITS.values() for name, size in files.items()} | SHARED_LIMITS


def model_files(runtime: Runtime) -> tuple[str, ...]:
    """The names of the files that hold the model."""
    return tuple(MODEL_LIMITS[runtime])


def bundle_files(runtime: Runtime) -> tuple[str, ...]:
    """The names of all files of a Bundle but its manifest."""
    return (*MODEL_LIMITS[runtime], *SHARED_LIMITS)


def find_runtime(present: Collection[str]) -> Runtime | None:
    """The runtime whose files are all among these names, None if some of each are missing."""
    return next((runtime for runtime in RUNTIMES if set(bundle_files(runtime)) <= set(present)), None)


FILES = bundle_files("onnxruntime")


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


def read_verified(folder: Path, manifest: dict[str, Any], runtime: Runtime) -> dict[str, bytes]:
    """Verify the checksum of every file and return the content of all but the model's. Raises BundleError.

    Only the names that a Bundle of this runtime has are ever opened: one that lists ../x or C:\\x is refused.
    """
    checksums, names = manifest.get("files"), bundle_files(runtime)
    if not isinstance(checksums, dict) or set(checksums) != set(names):
        raise BundleError(
            f"{folder / MANIFEST}: does not list the {len(names)} files of a Bundle; run distill export again"
        )
    contents = {}
    for name in names:
        path, limit = folder / name, LIMITS[name]
        if path.is_symlink() or not is_file(path):
            raise BundleError(f"{path}: missing or not a plain file; copy the Bundle again or run distill export")
        if name in MODEL_LIMITS[runtime]:
            if path.stat().st_size > limit:
                raise BundleError(
                    f"{path}: has more than {limit:,} bytes, which no such file of a Bundle has; copy it again"
                )
            sha256 = sha256_of(path)
        else:
            contents[name] = read_input(path, limit, BundleError, links=False)
            sha256 = hashlib.sha256(contents[name]).hexdigest()
        if sha256 != checksums[name]:
            raise BundleError(
                f"{path}: its content does not match its SHA-256 in {MANIFEST}; copy the Bundle again"
            )
    return contents


def read_runtime(manifest: Any, path: Path) -> Runtime:
    """The runtime that a manifest at `path` names. Raises BundleError for another format, and for a runtime that
    this distill does not know."""
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if version not in (FORMAT, GROUPS_FORMAT):
        raise BundleError(
            f"{path}: its format is {short_repr(version)}, expected {FORMAT} or {GROUPS_FORMAT}; run distill "
            "export again"
        )
    name = manifest.get("runtime", "onnxruntime")  # before there were several, a manifest named none
    runtime = next((known for known in RUNTIMES if known == name), None)
    if runtime is None:
        raise BundleError(
            f"{path}: is for the runtime {short_repr(name)}, and this distill knows {', '.join(RUNTIMES)}; install "
            "a newer distill, or run distill export again"
        )
    return runtime


def model_states(model: Path, runtime: Runtime) -> tuple[FileState, ...]:
    """The state of each of the model's files. Raises BundleError."""
    return tuple(map(FileState.of, (model, *(model.parent / name for name in model_files(runtime)[1:]))))


def model_sha256(manifest: dict[str, Any], runtime: Runtime) -> str:
    """The SHA-256 of a model's file; of several, that of theirs."""
    checksums = [manifest["files"][name] for name in model_files(runtime)]
    return checksums[0] if len(checksums) == 1 else hashlib.sha256("".join(checksums).encode()).hexdigest()


def copy_model(model: Path, runtime: Runtime, folder: Path) -> None:
    """Copy the first of a model's files, and those that lie beside it under its name and their own suffixes."""
    for name in model_files(runtime):
        shutil.copyfile(model.with_suffix(Path(name).suffix), folder / name)
