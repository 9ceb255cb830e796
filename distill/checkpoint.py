"""A training run's folder: weights and all that is needed to open them again. Knows torch and files.

RUN/
  run.json            what it is, written last: a folder without it is unfinished
  model.safetensors   weights of the best epoch
  tokenizer.json      the text encoder's own tokenizer
  text/, picture/     the encoders' configurations (Hugging Face ones), so that no hub is needed
  started.json        what it was asked for, and hashes of what it learns from
  metrics.json        figures on the validation split
  soft_targets*.npz   what a teacher says, for its students; one more for each of its folds
  control.npz         the answers of a control experiment
  retrain.*           of a retrained teacher: how it compares with the one that it started from
  training/           checkpoints of an unfinished training, removed when it ends
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from distill import __version__, processes
from distill.bundle import Kind
from distill.classifier import Classifier
from distill.data import Example, Splits
from distill.dual import DualBranch
from distill.encoders import rebuild_picture, rebuild_text, save_configs
from distill.errors import DataError, RunError
from distill.files import cannot_write, read_json, remove_folder, sha256_of, sweep, write_json, write_text
from distill.integrity import content_hash
from distill.labels import LabelSet
from distill.preprocess import PreprocessSpec, load_tokenizer
from distill.recipe import ModelConfig, StudentConfig, TeacherConfig
from distill.started import START_FILE as START_FILE
from distill.started import difference, no_run
from distill.thresholds import Thresholds
from distill.tree import build
from distill.trend import TrainLog
from distill.untrusted import shown

FORMAT = 5
RUN_FILE = "run.json"
METRICS = "metrics.json"
WEIGHTS = "model.safetensors"
TRAINING = "training"
RESUME = "go on with --resume"


@dataclass(frozen=True)
class Checkpoint:
    """A finished run, opened. `ranges` are those of the inputs of its linear layers, by the layer's name, when
    it was trained in int8 arithmetic; else empty."""

    folder: Path
    classifier: Classifier
    thresholds: Thresholds
    sha256: str
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Raises RunError for a folder that is absent, unfinished, damaged or of another format."""
        tree = _read_run(folder)
        weights = folder / WEIGHTS
        if not weights.is_file() or sha256_of(weights) != tree.get("sha256"):
            raise RunError(f"{weights}: missing, or not the weights that {RUN_FILE} names; train again")
        try:
            return cls._assemble(folder, tree)
        except (RunError, ModuleNotFoundError):
            raise
        except Exception as error:  # torch, transformers and safetensors each have errors of their own
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise RunError(f"{folder}: damaged, or written by another version ({reason}); train again") from error

    @classmethod
    def _assemble(cls, folder: Path, tree: dict[str, Any]) -> Checkpoint:
        from safetensors.torch import load_file

        if tree["kind"] not in get_args(Kind):
            raise RunError(f"{folder / RUN_FILE}: kind {shown(tree['kind'])} is none of ours; train again")
        config_class = TeacherConfig if tree["kind"] == "teacher" else StudentConfig
        config: ModelConfig = build(config_class, tree["config"], f"{folder / RUN_FILE}: config")
        labels = labels_of(folder)
        text, picture = rebuild_text(folder, config.text), rebuild_picture(folder, config.picture, config.head.grid)
        network = DualBranch(text, picture, config.head, len(labels), config.picture.trainable)
        network.load_state_dict(load_file(folder / WEIGHTS))
        classifier = Classifier(
            kind=tree["kind"],
            config=config,
            labels=labels,
            spec=PreprocessSpec.from_json(tree["preprocess"]),
            tokenizer_json=(folder / "tokenizer.json").read_text(encoding="utf-8"),
            network=network.eval(),
        )
        load_tokenizer(classifier.tokenizer_json, classifier.spec.text)  # found out here, and not after an epoch
        ranges = {name: (float(low), float(high)) for name, (low, high) in tree["ranges"].items()}
        thresholds = Thresholds.from_json(tree["thresholds"])
        if len(thresholds.values) != len(labels):
            raise RunError(
                f"{folder}: thresholds for {len(thresholds.values)} of {len(labels)} labels; train again"
            )
        return cls(folder, classifier, thresholds, tree["sha256"], ranges)

    def logits(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """float32 (N, L)."""
        return self.classifier.logits(self.classifier.encode(examples))


def is_run(folder: Path) -> bool:
    """Whether a finished run stands there."""
    return (folder / RUN_FILE).is_file()


def labels_of(folder: Path) -> LabelSet:
    """The label set of a finished run, without opening its weights. Raises RunError."""
    names = _read_run(folder).get("labels")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{folder / RUN_FILE}: its labels are {shown(names)}, not a list of names; train again")
    try:
        return LabelSet(tuple(names))
    except DataError as error:
        raise RunError(f"{folder / RUN_FILE}: {error}; train again") from error


def weights_of(folder: Path) -> str:
    """The SHA-256 of a finished run's weights, without opening them. Raises RunError."""
    return str(_read_run(folder).get("sha256"))


def _read_run(folder: Path) -> dict[str, Any]:
    if not is_run(folder):
        if other := no_run(folder):
            raise RunError(f"{folder}: {other}")
        state = "an unfinished run; continue it with --resume" if (folder / START_FILE).is_file() else "no run"
        raise RunError(f"{folder}: {state} (it has no {RUN_FILE})")
    tree = _read(folder / RUN_FILE)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise RunError(f"{folder / RUN_FILE}: not a run of format {FORMAT}; train again with this version")
    return tree


@processes.by_first
def begin(
    folder: Path,
    kind: Kind,
    config: ModelConfig,
    splits: Splits,
    resume: bool,
    overwrite: bool,
    lessons: dict[str, Any] | None = None,
) -> bool:
    """Claim the folder for a run; whether there is anything to do (a finished run that is resumed has not).

    `lessons` names whatever else decides what a run makes: a student's teachers and unlabelled examples.
    Raises RunError when something stands in the way, or when a resumed run had another recipe or data.
    """
    processes.check_batch_size(config.batch_size)
    started = {
        "kind": kind,
        "config": asdict(config),
        "labels": list(splits.labels.names),
        "data": {
            name: sorted(content_hash(example) for example in splits.named(name)) for name in ("train", "dev")
        },
        "lessons": lessons or {},
    }
    for left in (folder, folder / START_FILE):
        sweep(left)
    if overwrite and (is_run(folder) or (folder / START_FILE).is_file()):
        remove_folder(folder)
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held - {START_FILE}:  # a start alone, such as one whose encoders could not be had, holds no work
        if not (folder / START_FILE).is_file():
            raise RunError(f"{folder}: holds files that are not a run; choose another --out")
        if not resume:
            if other := no_run(folder):
                raise RunError(f"{folder}: holds {other}; pass --overwrite to start over, or choose another --out")
            what = "a finished" if is_run(folder) else "an unfinished"
            raise RunError(
                f"{folder}: holds {what} run; pass --resume to go on with it or --overwrite to start over"
            )
        _same_start(folder, started)
        if is_run(folder):  # killed between run.json and the end
            shutil.rmtree(folder / TRAINING, ignore_errors=True)
        return not is_run(folder)
    if resume and not held:
        raise RunError(f"{folder}: nothing to resume; leave --resume out to start a run there")
    if resume:  # killed before its first checkpoint
        _same_start(folder, started)
        return True
    write_json(folder / START_FILE, started)
    return True


def _read(path: Path) -> Any:
    try:
        return read_json(path, RunError)
    except RecursionError as error:
        raise RunError(f"{path}: not readable as JSON: nested too deep") from error


def _same_start(folder: Path, started: dict[str, Any]) -> None:
    before = _read(folder / START_FILE)
    if not isinstance(before, dict) or not isinstance(before.get("config"), dict):
        raise RunError(f"{folder / START_FILE}: damaged; start over with --overwrite")
    for name, value in started.items():
        if before.get(name) == value:
            continue
        where = "" if name in ("config", "lessons") else name
        other = difference(before.get(name), value, where)
        raise RunError(f"{folder}: was started {other}; resume as it was started, or start over with --overwrite")


def finish(
    folder: Path,
    classifier: Classifier,
    thresholds: Thresholds,
    log: TrainLog,
    metrics: dict[str, Any],
    ranges: dict[str, tuple[float, float]] | None = None,
) -> Checkpoint:
    """Write the run's files, run.json last, and remove the training's own checkpoints. Raises OutputError."""
    sha256 = _write_run(folder, classifier, thresholds, log, metrics, ranges or {})
    return Checkpoint(folder, classifier, thresholds, sha256, ranges or {})


@processes.by_first
def _write_run(
    folder: Path,
    classifier: Classifier,
    thresholds: Thresholds,
    log: TrainLog,
    metrics: dict[str, Any],
    ranges: dict[str, tuple[float, float]],
) -> str:
    _save_weights(classifier.network, folder / WEIGHTS)
    write_text(folder / "tokenizer.json", classifier.tokenizer_json)
    save_configs(classifier.network.text, classifier.network.picture, folder)
    write_json(folder / METRICS, metrics)
    sha256 = sha256_of(folder / WEIGHTS)
    run = {
        "format": FORMAT,
        "kind": classifier.kind,
        "config": asdict(classifier.config),
        "labels": list(classifier.labels.names),
        "preprocess": classifier.spec.to_json(),
        "thresholds": thresholds.to_json(),
        "sha256": sha256,
        "ranges": ranges,
        "training": asdict(log),
        "distill": __version__,
        "python": platform.python_version(),
    }
    write_json(folder / RUN_FILE, run)
    shutil.rmtree(folder / TRAINING, ignore_errors=True)
    return sha256


def _save_weights(network: DualBranch, path: Path) -> None:
    """Whole or not at all. Raises OutputError, which safetensors words in its own way."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    part = path.with_name(f"{path.name}.part")
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    try:
        save_file(tensors, part)
        with part.open("r+b") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        size_bytes = sum(tensor.nbytes for tensor in tensors.values())
        raise cannot_write(path, str(error), size_bytes, RESUME) from error
