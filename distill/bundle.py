"""The shippable folder: written whole, checked before anything in it is used. Knows files, no runtime.

BUNDLE/
  manifest.json     format, precision, target, figures, and the SHA-256 of every other file; written last
  model.onnx        input_ids, attention_mask int64 (B, T), pixels float32 (B, 3, H, W), present float32
                    (B, 2), which says whether there is a text and a picture -> logits float32 (B, L)
  tokenizer.json    labels.txt    thresholds.json    preprocess.json    recipe.json
  README.md         the card: what it is and what was measured
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from distill import __version__
from distill.errors import BundleError, DistillError
from distill.files import read_json, sha256_of, whole_folder, write_json, write_text
from distill.labels import LabelSet
from distill.preprocess import PreprocessSpec
from distill.thresholds import Thresholds

FORMAT = 2
MANIFEST = "manifest.json"
FILES = (
    "model.onnx",
    "tokenizer.json",
    "labels.txt",
    "thresholds.json",
    "preprocess.json",
    "recipe.json",
    "README.md",
)

Precision = Literal["fp32", "int8"]
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
    card: str
    run_sha256: str


@dataclass(frozen=True)
class Bundle:
    """A Bundle on disk whose checksums were right when it was opened."""

    folder: Path
    kind: Kind
    precision: Precision
    target: str
    labels: LabelSet
    thresholds: Thresholds
    preprocess: PreprocessSpec
    tokenizer_json: str
    figures: dict[str, Any]
    sha256: str

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    def size_bytes(self) -> int:
        """All that has to be copied to a device."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """Check every file and read all but the model. Raises BundleError."""
        if not is_bundle(folder):
            raise BundleError(f"{folder}: no Bundle (it has no {MANIFEST}); `distill export` makes one")
        manifest = read_json(folder / MANIFEST, BundleError)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise BundleError(f"{folder / MANIFEST}: not of format {FORMAT}; run distill export again")
        _verify(folder, manifest)
        try:
            bundle = cls(
                folder=folder,
                kind=manifest["kind"],
                precision=manifest["precision"],
                target=manifest["target"],
                labels=LabelSet.read(folder / "labels.txt"),
                thresholds=Thresholds.from_json(read_json(folder / "thresholds.json", BundleError)),
                preprocess=PreprocessSpec.from_json(read_json(folder / "preprocess.json", BundleError)),
                tokenizer_json=(folder / "tokenizer.json").read_text(encoding="utf-8"),
                figures=manifest["figures"],
                sha256=manifest["files"]["model.onnx"],
            )
        except (KeyError, UnicodeDecodeError) as error:
            raise BundleError(f"{folder}: not readable as a Bundle ({error}); run distill export again") from error
        except DistillError as error:
            raise BundleError(f"{folder}: {error}; run distill export again") from error
        if len(bundle.thresholds.values) != len(bundle.labels):
            raise BundleError(
                f"{folder}: thresholds for {len(bundle.thresholds.values)} labels, label set has "
                f"{len(bundle.labels)}; run distill export again"
            )
        return bundle


def is_bundle(folder: Path) -> bool:
    """Whether a whole Bundle stands there."""
    return (folder / MANIFEST).is_file()


def refuse_if_in_the_way(folder: Path) -> None:
    """Raise BundleError when `folder` holds anything but a Bundle, which alone may be replaced."""
    if folder.exists() and not is_bundle(folder) and (not folder.is_dir() or any(folder.iterdir())):
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
        write_text(part / "README.md", contents.card)
        manifest = {
            "format": FORMAT,
            "distill": __version__,
            "kind": contents.kind,
            "precision": contents.precision,
            "target": contents.target,
            "run_sha256": contents.run_sha256,
            "figures": contents.figures,
            "files": {name: sha256_of(part / name) for name in FILES},
        }
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
