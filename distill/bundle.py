"""The shippable folder: written whole, checked before anything in it is used. Knows files, no runtime.

BUNDLE/
  manifest.json     format, precision, target, figures, and the SHA-256 of every other file; written last
  model.onnx        input_ids, attention_mask int64 (B, T), pixels uint8 (B, H, W, 3), present float32 (B, 2),
                    which says whether there is a text and a picture -> logits float32 (B, L)
  tokenizer.json    labels.txt    thresholds.json    preprocess.json    recipe.json
  golden.json       questions and this file's answers, for `distill verify` on the device
  README.md         the card: what it is and what was measured

With `distill export --embed`, model.onnx holds all but the recipe and the card in its metadata, and can be copied
and opened alone.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from distill import __version__, onnx_file
from distill.errors import BundleError, DistillError
from distill.files import read_json, sha256_of, whole_folder, write_json, write_text
from distill.labels import LabelSet
from distill.preprocess import PreprocessSpec
from distill.thresholds import Thresholds

FORMAT = 3
MANIFEST = "manifest.json"
PREFIX = "distill."  # of the names in an ONNX file's metadata
FILES = (
    "model.onnx",
    "tokenizer.json",
    "labels.txt",
    "thresholds.json",
    "preprocess.json",
    "recipe.json",
    "golden.json",
    "README.md",
)

Precision = Literal["fp32", "int8", "int4"]
Kind = Literal["teacher", "student"]


@dataclass(frozen=True)
class Contents:
    """Everything that a Bundle is made of; `figures` are the measured numbers that its card shows, and
    `run_sha256` names the weights that it was exported from."""

    model: Path
    kind: Kind
    precision: Precision
    target: str
    tokenizer_json: str
    labels: LabelSet
    thresholds: Thresholds
    preprocess: PreprocessSpec
    recipe: dict[str, Any]
    figures: dict[str, Any]
    golden: dict[str, Any]
    card: str
    run_sha256: str

    def about(self) -> dict[str, Any]:
        """What is said of the model beside the files."""
        return {
            "format": FORMAT,
            "distill": __version__,
            "kind": self.kind,
            "precision": self.precision,
            "target": self.target,
            "run_sha256": self.run_sha256,
            "figures": self.figures,
        }


@dataclass(frozen=True)
class Bundle:
    """A Bundle on disk whose checksums were right when it was opened: a `folder`, or one file."""

    folder: Path
    model: Path
    kind: Kind
    precision: Precision
    target: str
    labels: LabelSet
    thresholds: Thresholds
    preprocess: PreprocessSpec
    tokenizer_json: str
    golden: dict[str, Any]
    figures: dict[str, Any]
    sha256: str

    def size_bytes(self) -> int:
        """All that has to be copied to a device."""
        if self.folder.is_file():
            return self.folder.stat().st_size
        return sum(path.stat().st_size for path in self.folder.iterdir())

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Check every file and read all but the model. Raises BundleError."""
        if folder.is_file():
            return _open_file(folder)
        if not is_bundle(folder):
            raise BundleError(f"{folder}: no Bundle (it has no {MANIFEST}); `distill export` makes one")
        manifest = read_json(folder / MANIFEST, BundleError)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise BundleError(f"{folder / MANIFEST}: not of format {FORMAT}; run distill export again")
        _verify(folder, manifest)
        parts: dict[str, Any] = {"manifest": manifest}
        for name, file in (("labels", "labels.txt"), ("tokenizer", "tokenizer.json")):
            try:
                parts[name] = (folder / file).read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise BundleError(f"{folder / file}: is not UTF-8 ({error}); run distill export again") from error
        for name in ("thresholds", "preprocess", "golden"):
            parts[name] = read_json(folder / f"{name}.json", BundleError)
        return _assemble(folder, folder / "model.onnx", manifest["files"]["model.onnx"], parts)


def _assemble(folder: Path, model: Path, sha256: str, parts: dict[str, Any]) -> Bundle:
    """A Bundle from what its files, or its one file's metadata, hold. Raises BundleError."""
    try:
        manifest = parts["manifest"]
        bundle = Bundle(
            folder=folder,
            model=model,
            kind=manifest["kind"],
            precision=manifest["precision"],
            target=manifest["target"],
            labels=LabelSet.parse(parts["labels"]),
            thresholds=Thresholds.from_json(parts["thresholds"]),
            preprocess=PreprocessSpec.from_json(parts["preprocess"]),
            tokenizer_json=parts["tokenizer"],
            golden=parts["golden"],
            figures=manifest["figures"],
            sha256=sha256,
        )
    except (KeyError, TypeError) as error:
        raise BundleError(f"{folder}: not readable as a Bundle ({error}); run distill export again") from error
    except DistillError as error:
        raise BundleError(f"{folder}: {error}; run distill export again") from error
    if len(bundle.thresholds.values) != len(bundle.labels):
        raise BundleError(
            f"{folder}: thresholds for {len(bundle.thresholds.values)} labels, label set has "
            f"{len(bundle.labels)}; run distill export again"
        )
    return bundle


def embedded(contents: Contents) -> dict[str, str]:
    """What a model's own metadata say when it is to be served alone: JSON texts by name."""
    parts = {
        "manifest": contents.about(),
        "labels": "\n".join(contents.labels.names) + "\n",
        "thresholds": contents.thresholds.to_json(),
        "preprocess": contents.preprocess.to_json(),
        "tokenizer": contents.tokenizer_json,
        "golden": contents.golden,
    }
    return {f"{PREFIX}{name}": json.dumps(value, ensure_ascii=False) for name, value in parts.items()}


def _open_file(path: Path) -> Bundle:
    found = onnx_file.read(path)
    texts = {k.removeprefix(PREFIX): v for k, v in found.metadata.items() if k.startswith(PREFIX)}
    try:
        parts = {name: json.loads(text) for name, text in texts.items()}
    except ValueError as error:
        raise BundleError(f"{path}: its metadata are damaged: {error}; copy it again") from error
    if "graph_sha256" not in parts or "manifest" not in parts:
        raise BundleError(f"{path}: holds a model alone; give the Bundle's folder, or export with --embed")
    if parts["graph_sha256"] != found.graph_sha256:
        raise BundleError(f"{path}: its graph is not what its metadata name; copy it again")
    if parts["manifest"].get("format") != FORMAT:
        raise BundleError(f"{path}: not of format {FORMAT}; run distill export again")
    return _assemble(path, path, found.graph_sha256, parts)


def is_bundle(folder: Path) -> bool:
    """Whether a whole Bundle stands there, or an ONNX file that may be one."""
    return (folder / MANIFEST).is_file() or (folder.suffix == ".onnx" and folder.is_file())


def refuse_if_in_the_way(folder: Path) -> None:
    """Raise BundleError when `folder` holds anything but a Bundle, which alone may be replaced."""
    if folder.is_file() or (folder.exists() and not is_bundle(folder) and any(folder.iterdir())):
        raise BundleError(f"{folder}: holds something that is not a Bundle; choose another --out")


def write(folder: Path, contents: Contents) -> Bundle:
    """Write a Bundle whole or not at all, in place of one that stands there. Raises BundleError."""
    refuse_if_in_the_way(folder)
    with whole_folder(folder) as part:
        shutil.copyfile(contents.model, part / "model.onnx")
        write_text(part / "tokenizer.json", contents.tokenizer_json)
        write_text(part / "labels.txt", "\n".join(contents.labels.names) + "\n")
        write_json(part / "thresholds.json", contents.thresholds.to_json())
        write_json(part / "preprocess.json", contents.preprocess.to_json())
        write_json(part / "recipe.json", contents.recipe)
        write_json(part / "golden.json", contents.golden)
        write_text(part / "README.md", contents.card)
        manifest = contents.about() | {"files": {name: sha256_of(part / name) for name in FILES}}
        write_json(part / MANIFEST, manifest)
    return Bundle.open(folder)


def _verify(folder: Path, manifest: dict[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(FILES):
        raise BundleError(f"{folder / MANIFEST}: does not list the {len(FILES)} files of a Bundle; export again")
    for name in FILES:
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise BundleError(f"{path}: missing or not a plain file; copy the Bundle again or run distill export")
        if sha256_of(path) != files[name]:
            raise BundleError(f"{path}: its content is not what {MANIFEST} names; copy the Bundle again")
