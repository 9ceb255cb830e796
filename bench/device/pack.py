"""One file that measures a Bundle on a device.

The file is a zip that Python runs: this toolkit, the pure Python packages that it needs, the Bundles and the
examples. The device needs Python and the four packages with compiled parts.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

from bench.device.main import BUNDLES, EVAL_SET_FOLDER, PAYLOAD
from bench.quality.eval_set import EvalSet
from bench.runtimes.variants import Variant
from distill.core.errors import BenchError
from distill.core.storage.files import hidden_path

PACKAGES = ("distill", "bench")
PURE = ("rich", "click")  # their own requirements are not needed for what is used of them
CODE = (".py", ".toml", ".jinja")
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "from bench.device.main import main\n\nmain()\n"


def pack(variants: Sequence[Variant], eval_set: EvalSet, out: Path) -> None:
    """Write `out` whole or not at all; the last variant is the one that the benchmark is about.

    Raises BenchError for a variant that is no Bundle for onnxruntime, which is all that a device needs to have.
    """
    for variant in variants:
        if variant.runtime != "onnxruntime":
            raise BenchError(
                f"{variant.folder}: only Bundles for onnxruntime can be packed, which devices have; leave it out"
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    with hidden_path(out, "part") as part:
        with part.open("wb") as handle:
            handle.write(SHEBANG)
            with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("__main__.py", MAIN)
                _add_code(archive)
                _add_payload(archive, variants, eval_set)
        part.chmod(0o755)
        part.replace(out)


def _add_code(archive: zipfile.ZipFile) -> None:
    for package in PACKAGES:
        root = Path(str(import_module(package).__file__)).parent
        for file in sorted(root.rglob("*")):
            if file.suffix in CODE:
                archive.write(file, str(PurePosixPath(package, *file.relative_to(root).parts)))
    for package in PURE:
        for listed in distribution(package).files or ():
            inside = not listed.is_absolute() and ".." not in listed.parts
            if inside and (listed.suffix == ".py" or "license" in listed.name.lower()):  # notices travel with code
                archive.writestr(str(listed), listed.read_binary())


def _add_payload(archive: zipfile.ZipFile, variants: Sequence[Variant], eval_set: EvalSet) -> None:
    for number, variant in enumerate(variants):
        place = PurePosixPath(
            PAYLOAD, BUNDLES, f"{number}{variant.folder.suffix if variant.folder.is_file() else ''}"
        )
        for file in sorted(variant.folder.rglob("*")) or [
            variant.folder
        ]:  # a Bundle may be a file that serves alone
            if file.is_file():
                archive.write(file, str(place.joinpath(*file.relative_to(variant.folder).parts)))
    with tempfile.TemporaryDirectory(prefix="distill-pack-") as name:
        eval_set.save(Path(name) / EVAL_SET_FOLDER)
        for file in sorted((Path(name) / EVAL_SET_FOLDER).iterdir()):
            archive.write(file, str(PurePosixPath(PAYLOAD, EVAL_SET_FOLDER, file.name)))
