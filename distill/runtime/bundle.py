"""The shippable folder: written whole, checked before anything in it is used. Knows files, no runtime.

BUNDLE/
  manifest.json     format, precision, target, figures, and the SHA-256 of every other file; written last
  model.onnx        input_ids, attention_mask int64 (B, T), pixels uint8 (B, H, W, 3), present float32 (B, 2),
                    which says whether there is a text and an image -> logits float32 (B, L)
  tokenizer.json    labels.txt    thresholds.json    preprocess.json    recipe.json
  golden.json       questions and this file's answers, for `distill verify` on the device
  README.md         the card: what it is and what was measured

With `distill export --embed`, model.onnx holds all but the recipe and the card in its metadata, and can be copied
and opened alone.

A Bundle may come from a stranger. Nothing outside it is read: its files are named here and not by the manifest, are
plain files (BUNDLE itself may be a link: it is its user who names it) and are bounded; whatever else lies in the
folder is never opened. Each file is read once, and what was read is what was checked; the model, which onnxruntime
opens by its name, is looked at again after that (`Bundle.refuse_if_changed`). Checksums find accidents: who made a
Bundle, they do not say.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from distill import __version__
from distill.core.errors import BundleError, DistillError
from distill.core.files import atomic_folder, sha256_of, write_json, write_text
from distill.core.untrusted import is_file, parse_strict_json, read_bounded, short_repr
from distill.data import run_folder
from distill.data.labels import LabelSet
from distill.preprocess.inputs import PreprocessSpec
from distill.runtime import hub
from distill.runtime.bundle_files import FILES as FILES
from distill.runtime.bundle_files import MANIFEST as MANIFEST
from distill.runtime.bundle_files import MANIFEST_LIMIT, Stamp, stamp_of, verified
from distill.runtime.onnx import file as onnx_file
from distill.runtime.onnx import guard as onnx_guard
from distill.scoring.thresholds import Thresholds

FORMAT = 3
PREFIX = "distill."  # of the names in an ONNX file's metadata
MAX_LABELS = 10_000

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
    stamp: Stamp  # of the model's file when it was checked

    def size_bytes(self) -> int:
        """All that has to be copied to a device."""
        if self.folder.is_file():
            return self.folder.stat().st_size
        return sum((self.folder / name).stat().st_size for name in (*FILES, MANIFEST))

    def refuse_if_changed(self) -> None:
        """Raise BundleError when another file stands where the model stood that was checked."""
        if stamp_of(self.model) != self.stamp:
            raise BundleError(f"{self.model}: changed since it was checked; open the Bundle again")

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Check every file and read all but the model. Raises BundleError."""
        try:
            return _open_file(folder) if is_file(folder) else _open_folder(folder)
        except BundleError as error:
            if not hub.is_copy(folder):
                raise
            raise BundleError(f"{error}. It is a copy from the hub; to fetch it again, remove {folder}") from error


def _open_folder(folder: Path) -> Bundle:
    if not is_bundle(folder):
        raise BundleError(f"{folder}: no Bundle (it has no {MANIFEST}); `distill export` makes one")
    path = folder / MANIFEST
    manifest = parse_strict_json(read_bounded(path, MANIFEST_LIMIT, BundleError), str(path), BundleError)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{path}: not of format {FORMAT}; run distill export again")
    model = folder / "model.onnx"
    stamp = stamp_of(model)
    contents = verified(folder, manifest)
    onnx_guard.check(model)
    parts: dict[str, Any] = {"manifest": manifest}
    for name, file in (("labels", "labels.txt"), ("tokenizer", "tokenizer.json")):
        try:
            parts[name] = contents[file].decode("utf-8")
        except UnicodeDecodeError as error:
            raise BundleError(f"{folder / file}: is not UTF-8 ({error}); run distill export again") from error
    for name in ("thresholds", "preprocess", "golden"):
        file = f"{name}.json"
        parts[name] = parse_strict_json(contents[file], str(folder / file), BundleError)
    return _assemble(folder, model, manifest["files"]["model.onnx"], stamp, parts)


def _assemble(folder: Path, model: Path, sha256: str, stamp: Stamp, parts: dict[str, Any]) -> Bundle:
    """A Bundle from what its files, or its one file's metadata, hold. Raises BundleError."""
    try:
        manifest = parts["manifest"]
        bundle = Bundle(
            folder=folder,
            model=model,
            kind=manifest["kind"],
            precision=manifest["precision"],
            target=manifest["target"],
            labels=LabelSet.parse(_text(parts["labels"])),
            thresholds=Thresholds.from_json(parts["thresholds"]),
            preprocess=PreprocessSpec.from_json(parts["preprocess"]),
            tokenizer_json=_text(parts["tokenizer"]),
            golden=parts["golden"],
            figures=manifest["figures"],
            sha256=sha256,
            stamp=stamp,
        )
        _refuse_strange(bundle)
    except KeyError as error:
        raise BundleError(f"{folder}: not readable as a Bundle: no {error}; run distill export again") from error
    except (DistillError, ValueError) as error:
        raise BundleError(f"{folder}: {error}; run distill export again") from error
    return bundle


def _refuse_strange(bundle: Bundle) -> None:
    """Raise ValueError for parts that do not fit together or that no Bundle has."""
    known = {"kind": get_args(Kind), "precision": get_args(Precision)}
    for name, values in known.items():
        if getattr(bundle, name) not in values:
            raise ValueError(f"{name} {short_repr(getattr(bundle, name))} is not one of {', '.join(values)}")
    if not isinstance(bundle.target, str) or not bundle.target.isprintable() or len(bundle.target) > 64:
        raise ValueError(f"target {short_repr(bundle.target)} is no name of a processor")
    for name in ("golden", "figures"):
        if not isinstance(getattr(bundle, name), dict):
            raise ValueError(f"{name} is {short_repr(getattr(bundle, name))}, not an object")
    values, labels = bundle.thresholds.values, len(bundle.labels)
    if len(values) != labels:
        raise ValueError(f"thresholds for {len(values)} labels, label set has {labels}")
    if labels > MAX_LABELS:
        raise ValueError(f"{labels:,} labels, over the limit of {MAX_LABELS:,}")
    outside = [value for value in values if not 0 < value < 1]
    if outside:
        raise ValueError(f"a threshold of {outside[0]} is not between 0 and 1")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {short_repr(value)}")
    return value


def onnx_metadata(contents: Contents) -> dict[str, str]:
    """What `distill export --embed` stores in model.onnx, so that the file serves alone: JSON texts by name."""
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
    stamp = stamp_of(path)
    onnx_guard.check(path)
    found = onnx_file.read(path)
    texts = {k.removeprefix(PREFIX): v for k, v in found.metadata.items() if k.startswith(PREFIX)}
    parts = {
        name: parse_strict_json(text, f"{path}: its {PREFIX}{name}", BundleError) for name, text in texts.items()
    }
    if "graph_sha256" not in parts or "manifest" not in parts:
        raise BundleError(f"{path}: holds a model alone; give the Bundle's folder, or export with --embed")
    if parts["graph_sha256"] != found.graph_sha256:
        raise BundleError(f"{path}: its graph is not what its metadata name; copy it again")
    if not isinstance(parts["manifest"], dict) or parts["manifest"].get("format") != FORMAT:
        raise BundleError(f"{path}: not of format {FORMAT}; run distill export again")
    return _assemble(path, path, found.graph_sha256, stamp, parts)


def is_bundle(folder: Path) -> bool:
    """Whether a whole Bundle stands there, or an ONNX file that may be one."""
    return is_file(folder / MANIFEST) or (folder.suffix == ".onnx" and is_file(folder))


def labels_of(folder: Path) -> LabelSet:
    """The label set of a Bundle or of a finished training run. Raises BundleError or RunError."""
    return Bundle.open(folder).labels if is_bundle(folder) else run_folder.read_run_labels(folder)


def refuse_if_in_the_way(folder: Path) -> None:
    """Raise BundleError when `folder` holds anything but a Bundle, which alone may be replaced."""
    if folder.is_file() or (folder.exists() and not is_bundle(folder) and any(folder.iterdir())):
        raise BundleError(f"{folder}: holds something that is not a Bundle; choose another --out")


def write(folder: Path, contents: Contents) -> Bundle:
    """Write a Bundle whole or not at all, in place of one that stands there. Raises BundleError."""
    refuse_if_in_the_way(folder)
    with atomic_folder(folder) as part:
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
