"""The Bundle: the folder that ships a model, written whole, and checked before anything in it is used.

BUNDLE/
  manifest.json     format, precision, target, figures, and the SHA-256 of every other file; written last
  model.onnx        input_ids, attention_mask int64 (B, T), pixels uint8 (B, H, W, 3), present float32 (B, 2),
                    which says whether there is a text and an image -> logits float32 (B, L); or another
                    runtime's files, which the manifest names (distill.runtime.bundle_files)
  tokenizer.json    labels.txt    preprocess.json    recipe.json
  thresholds.json   how probabilities become decisions: a threshold a label, and groups of labels of which the most
                    probable is decided
  golden.json       golden answers: inputs and this model's logits, for `distill verify` on the device
  README.md         the model card: what it is and what was measured

With `distill export --embed`, model.onnx holds all but the recipe and the card in its metadata, and can be copied
and opened alone.

A Bundle may come from a stranger. Nothing outside it is read: the names of its files are fixed here and not taken
from the manifest, and each must be a plain file of bounded size (BUNDLE itself may be a link, since its user names
it). Whatever else lies in the folder is never opened. Each file is read once, so that what was checked is what is
used; the model, which its runtime opens by its name, is compared again afterwards (`Bundle.refuse_if_changed`).
Checksums find accidents; they do not say who made a Bundle.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from distill import __version__
from distill.core.errors import BundleError, DistillError
from distill.core.machine.runtimes import Runtime
from distill.core.output.printable import is_printable
from distill.core.settings.columns import Columns
from distill.core.storage.files import atomic_folder, refuse_existing, sha256_of, write_json, write_text
from distill.core.storage.inputs import read_input
from distill.core.untrusted import is_file, parse_strict_json, short_repr
from distill.data import run_folder
from distill.data.labels import LabelSet
from distill.preprocess.inputs import Preprocessor, PreprocessSpec
from distill.runtime import hub
from distill.runtime.bundle_files import (
    FORMAT,
    GROUPS_FORMAT,
    MANIFEST,
    MANIFEST_LIMIT,
    FileState,
    bundle_files,
    copy_model,
    model_files,
    model_sha256,
    model_states,
    read_runtime,
    read_verified,
)
from distill.runtime.golden_answers import GoldenAnswers
from distill.runtime.guard import check_model
from distill.runtime.onnx.guard import check_onnx_file
from distill.runtime.onnx.metadata import read_metadata
from distill.scoring.thresholds import Thresholds

PREFIX = "distill."  # of the names in an ONNX file's metadata
MAX_LABELS = 10_000

Precision = Literal["fp32", "int8", "int4"]
Kind = Literal["teacher", "student"]
Modalities = Literal["both", "text", "image"]


@dataclass(frozen=True)
class Contents:
    """Everything that a Bundle is made of.

    `model` is the first of the runtime's files; others lie beside it under its name and their own suffixes.
    `figures` are the measured numbers that the card shows, `golden` is what `record_golden` returned, and
    `run_sha256` is the hash of the weights that the model was exported from.
    """

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
    columns: Columns = field(default_factory=Columns)  # of the data that it was trained on
    runtime: Runtime = "onnxruntime"
    modalities: Modalities = "both"  # what the model reads of a post

    def manifest(self) -> dict[str, Any]:
        """The manifest without the files' checksums."""
        return {
            "format": GROUPS_FORMAT if self.thresholds.groups else FORMAT,
            "distill": __version__,
            "kind": self.kind,
            "runtime": self.runtime,
            "precision": self.precision,
            "target": self.target,
            "run_sha256": self.run_sha256,
            "figures": self.figures,
            **({"columns": said} if (said := self.columns.to_json()) else {}),
            **({"modalities": self.modalities} if self.modalities != "both" else {}),
            **({"groups": groups} if (groups := self.labels.groups_to_json()) else {}),
        }


@dataclass(frozen=True)
class Bundle:
    """A Bundle on disk whose checksums were right when it was opened. `folder` is its folder, or its one file."""

    folder: Path
    model: Path
    kind: Kind
    precision: Precision
    target: str
    labels: LabelSet
    thresholds: Thresholds
    preprocess: PreprocessSpec
    tokenizer_json: str = field(repr=False)
    golden: dict[str, Any] = field(repr=False)
    figures: dict[str, Any] = field(repr=False)
    sha256: str
    model_state: tuple[FileState, ...] = field(repr=False)  # of the model's files, when they were checked
    columns: Columns = field(default_factory=Columns)  # of the data that it was trained on
    runtime: Runtime = "onnxruntime"
    modalities: Modalities = "both"  # what the model reads of a post

    @property
    def files(self) -> tuple[Path, ...]:
        """All of its files."""
        names = (*bundle_files(self.runtime), MANIFEST)
        return (self.folder,) if self.folder.is_file() else tuple(self.folder / name for name in names)

    def preprocessor(self) -> Preprocessor:
        """What encodes posts for its model, and decodes no image for one of texts alone. Raises BundleError."""
        return Preprocessor(self.preprocess, self.tokenizer_json, reads_images=self.modalities != "text")

    def identity(self) -> str:
        """A hex SHA-256 of all that decides a prediction: model, tokenizer, preprocessing, labels, thresholds."""
        parts = (
            self.sha256,
            self.tokenizer_json,
            self.preprocess.to_json(),
            self.labels.names,
            self.thresholds.to_json(),
            *([self.modalities] if self.modalities != "both" else []),
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def size_bytes(self) -> int:
        """The size of all files that have to be copied to a device."""
        return sum(path.stat().st_size for path in self.files)

    def refuse_if_changed(self) -> None:
        """Raise BundleError when the model's file is no longer the one that was checked."""
        if model_states(self.model, self.runtime) != self.model_state:
            raise BundleError(f"{self.model}: changed since it was checked; open the Bundle again")

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Check every file and read all but the model. Raises BundleError."""
        folder = Path(folder)
        try:
            return _open_file(folder) if is_file(folder) else _open_folder(folder)
        except BundleError as error:
            if not hub.is_downloaded(folder):
                raise
            raise BundleError(f"{error}. It is a copy from the hub; to fetch it again, remove {folder}") from error


def is_bundle(folder: Path) -> bool:
    """Whether this is a finished Bundle's folder, or an ONNX file, which may hold a Bundle."""
    return is_file(folder / MANIFEST) or (folder.suffix == ".onnx" and is_file(folder))


def labels_of(folder: Path) -> LabelSet:
    """The label set of a Bundle or of a finished training run. Raises BundleError or RunError."""
    return Bundle.open(folder).labels if is_bundle(folder) else run_folder.read_run_labels(folder)


def columns_of(folder: Path) -> Columns:
    """The columns of the data that a Bundle or a training run was made from. Raises BundleError or RunError."""
    return Bundle.open(folder).columns if is_bundle(folder) else run_folder.read_run_columns(folder)


def refuse_existing_bundle(folder: Path, overwrite: bool) -> None:
    """Raise OutputError when `folder` holds a Bundle that may not be overwritten, or anything else."""
    refuse_existing(folder, overwrite, is_bundle, "a Bundle")


def write_bundle(folder: Path, contents: Contents) -> Bundle:
    """Write a Bundle whole or not at all, replacing one that is there. Raises BundleError and OutputError."""
    refuse_existing_bundle(folder, overwrite=True)
    with atomic_folder(folder) as part:
        copy_model(contents.model, contents.runtime, part)
        write_text(part / "tokenizer.json", contents.tokenizer_json)
        write_text(part / "labels.txt", "\n".join(contents.labels.names) + "\n")
        write_json(part / "thresholds.json", contents.thresholds.to_json())
        write_json(part / "preprocess.json", contents.preprocess.to_json())
        write_json(part / "recipe.json", contents.recipe)
        write_json(part / "golden.json", contents.golden)
        write_text(part / "README.md", contents.card)
        checksums = {name: sha256_of(part / name) for name in bundle_files(contents.runtime)}
        write_json(part / MANIFEST, contents.manifest() | {"files": checksums})
        bundle = Bundle.open(part)  # what could not be opened is not written
    model = folder / bundle.model.name
    return replace(bundle, folder=folder, model=model, model_state=model_states(model, bundle.runtime))


def _open_folder(folder: Path) -> Bundle:
    if run_folder.is_run(folder):
        raise BundleError(f"{folder}: is a training run, no Bundle; `distill export` makes one of it")
    if not folder.exists():
        raise BundleError(
            f"{folder}: no such folder; give a Bundle, which `distill export` makes, or OWNER/NAME on the hub"
        )
    if not is_bundle(folder):
        raise BundleError(f"{folder}: no Bundle (it has no {MANIFEST}); `distill export` makes one")
    path = folder / MANIFEST
    manifest = parse_strict_json(read_input(path, MANIFEST_LIMIT, BundleError, links=False), str(path), BundleError)
    runtime = read_runtime(manifest, path)
    model = folder / model_files(runtime)[0]
    state = model_states(model, runtime)
    contents = read_verified(folder, manifest, runtime)
    check_model(model, runtime)
    parts: dict[str, Any] = {"manifest": manifest}
    for name, file in (("labels", "labels.txt"), ("tokenizer", "tokenizer.json")):
        try:
            parts[name] = contents[file].decode("utf-8")
        except UnicodeDecodeError as error:
            raise BundleError(f"{folder / file}: is not UTF-8 ({error}); run distill export again") from error
    for name in ("thresholds", "preprocess", "golden"):
        file = f"{name}.json"
        parts[name] = parse_strict_json(contents[file], str(folder / file), BundleError)
    return _assemble(folder, model, model_sha256(manifest, runtime), state, parts)


def _open_file(path: Path) -> Bundle:
    state = model_states(path, "onnxruntime")
    check_onnx_file(path)
    metadata = read_metadata(path)
    texts = {k.removeprefix(PREFIX): v for k, v in metadata.entries.items() if k.startswith(PREFIX)}
    parts = {
        name: parse_strict_json(text, f"{path}: its {PREFIX}{name}", BundleError) for name, text in texts.items()
    }
    if "graph_sha256" not in parts or "manifest" not in parts:
        raise BundleError(f"{path}: holds a model alone; give the Bundle's folder, or export with --embed")
    if parts["graph_sha256"] != metadata.graph_sha256:
        raise BundleError(f"{path}: its graph does not match the SHA-256 in its metadata; copy it again")
    if (runtime := read_runtime(parts["manifest"], path)) != "onnxruntime":
        raise BundleError(f"{path}: its manifest names {runtime}, and it is an ONNX file; copy it again")
    return _assemble(path, path, metadata.graph_sha256, state, parts)


def _assemble(
    folder: Path, model: Path, sha256: str, state: tuple[FileState, ...], parts: dict[str, Any]
) -> Bundle:
    """A Bundle from the parsed content of its files, or of its one file's metadata. Raises BundleError."""
    try:
        manifest, thresholds = parts["manifest"], Thresholds.from_json(parts["thresholds"])
        bundle = Bundle(
            folder=folder,
            model=model,
            kind=manifest["kind"],
            precision=manifest["precision"],
            target=manifest["target"],
            labels=LabelSet.parse(_text(parts["labels"])).with_group_columns(thresholds.groups),
            thresholds=thresholds,
            preprocess=PreprocessSpec.from_json(parts["preprocess"]),
            tokenizer_json=_text(parts["tokenizer"]),
            golden=parts["golden"],
            figures=manifest["figures"],
            sha256=sha256,
            model_state=state,
            columns=Columns.of(manifest.get("columns")),
            runtime=manifest.get("runtime", "onnxruntime"),
            modalities=manifest.get("modalities", "both"),
        )
        if manifest.get("groups", {}) != bundle.labels.groups_to_json():
            raise ValueError("manifest.json and thresholds.json have different groups of labels")
        _validate(bundle)
    except KeyError as error:
        raise BundleError(f"{folder}: not readable as a Bundle: no {error}; run distill export again") from error
    except (DistillError, ValueError) as error:
        raise BundleError(f"{folder}: {error}; run distill export again") from error
    return bundle


def _validate(bundle: Bundle) -> None:
    """Raise ValueError for values that no Bundle has, or that do not fit together."""
    known = {"kind": get_args(Kind), "precision": get_args(Precision), "modalities": get_args(Modalities)}
    for name, choices in known.items():
        if getattr(bundle, name) not in choices:
            raise ValueError(f"unknown {name} {short_repr(getattr(bundle, name))}; expected {', '.join(choices)}")
    if not isinstance(bundle.target, str) or not is_printable(bundle.target) or len(bundle.target) > 64:
        raise ValueError(f"target {short_repr(bundle.target)} is no name of a processor")
    for name in ("golden", "figures"):
        if not isinstance(getattr(bundle, name), dict):
            raise ValueError(f"{name} is {short_repr(getattr(bundle, name))}, not an object")
    values, labels = bundle.thresholds.values, len(bundle.labels)
    if len(values) != labels:
        raise ValueError(f"thresholds for {len(values)} labels, label set has {labels}")
    if labels > MAX_LABELS:
        raise ValueError(f"{labels:,} labels, over the limit of {MAX_LABELS:,}")
    if bundle.golden:  # a peer's file, which is measured alone, has none, and `verify` refuses it
        GoldenAnswers.from_json(bundle.golden, labels)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {short_repr(value)}")
    return value
