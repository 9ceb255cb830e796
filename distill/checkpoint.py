"""A training run's folder: weights and all that is needed to open them again. Knows torch and files.

RUN/
  run.json            what it is, written last: a folder without it is unfinished
  model.safetensors   weights of the best epoch
  tokenizer.json      the text encoder's own tokenizer
  text/, picture/     the encoders' configurations (Hugging Face ones), so that no hub is needed
  metrics.json        figures on the validation split
  soft_targets*.npz   what a teacher says, for its students; one more for each of its folds
  control.npz         the answers of a control experiment
  training/           checkpoints of an unfinished training, removed when it ends
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import __version__
from distill.bundle import Kind
from distill.classifier import Classifier
from distill.data import Example, Splits
from distill.dual import DualBranch
from distill.encoders import rebuild_picture, rebuild_text, save_configs
from distill.errors import RunError
from distill.files import read_json, sha256_of, write_json, write_text
from distill.integrity import content_hash
from distill.labels import LabelSet
from distill.preprocess import PreprocessSpec
from distill.recipe import ModelConfig, StudentConfig, TeacherConfig, build
from distill.thresholds import Thresholds
from distill.training import TrainLog

FORMAT = 3
RUN_FILE = "run.json"
START_FILE = "started.json"
METRICS = "metrics.json"


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
        from safetensors.torch import load_file

        tree = _read_run(folder)
        config_class = TeacherConfig if tree["kind"] == "teacher" else StudentConfig
        config: ModelConfig = build(config_class, tree["config"], f"{folder / RUN_FILE}: config")
        weights = folder / "model.safetensors"
        if not weights.is_file() or sha256_of(weights) != tree["sha256"]:
            raise RunError(f"{weights}: missing, or not the weights that {RUN_FILE} names; train again")
        labels = LabelSet(tuple(tree["labels"]))
        text, picture = rebuild_text(folder, config.text), rebuild_picture(folder, config.picture)
        network = DualBranch(text, picture, config.head, len(labels), config.picture.trainable)
        network.load_state_dict(load_file(weights))
        classifier = Classifier(
            kind=tree["kind"],
            config=config,
            labels=labels,
            spec=PreprocessSpec.from_json(tree["preprocess"]),
            tokenizer_json=(folder / "tokenizer.json").read_text(encoding="utf-8"),
            network=network.eval(),
        )
        ranges = {name: (float(low), float(high)) for name, (low, high) in tree["ranges"].items()}
        return cls(folder, classifier, Thresholds.from_json(tree["thresholds"]), tree["sha256"], ranges)

    def logits(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """float32 (N, L)."""
        return self.classifier.logits(self.classifier.encode(examples))


def is_run(folder: Path) -> bool:
    """Whether a finished run stands there."""
    return (folder / RUN_FILE).is_file()


def labels_of(folder: Path) -> LabelSet:
    """The label set of a finished run, without opening its weights. Raises RunError."""
    return LabelSet(tuple(_read_run(folder)["labels"]))


def weights_of(folder: Path) -> str:
    """The SHA-256 of a finished run's weights, without opening them. Raises RunError."""
    return str(_read_run(folder)["sha256"])


def _read_run(folder: Path) -> dict[str, Any]:
    if not is_run(folder):
        state = "an unfinished run; continue it with --resume" if (folder / START_FILE).is_file() else "no run"
        raise RunError(f"{folder}: {state} (it has no {RUN_FILE})")
    tree = read_json(folder / RUN_FILE, RunError)
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise RunError(f"{folder / RUN_FILE}: not a run of format {FORMAT}; train again with this version")
    return tree


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
    started = {
        "kind": kind,
        "config": asdict(config),
        "labels": list(splits.labels.names),
        "data": {
            name: sorted(content_hash(example) for example in splits.named(name)) for name in ("train", "dev")
        },
        "lessons": lessons or {},
    }
    if overwrite and (is_run(folder) or (folder / START_FILE).is_file()):
        shutil.rmtree(folder)
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held - {START_FILE}:  # a start alone, such as one whose encoders could not be had, holds no work
        if not (folder / START_FILE).is_file():
            raise RunError(f"{folder}: holds files that are not a run; choose another --out")
        if not resume:
            what = "a finished" if is_run(folder) else "an unfinished"
            raise RunError(
                f"{folder}: holds {what} run; pass --resume to go on with it or --overwrite to start over"
            )
        _same_start(folder, started)
        return not is_run(folder)
    if resume:
        raise RunError(f"{folder}: nothing to resume; leave --resume out to start a run there")
    write_json(folder / START_FILE, started)
    return True


def _same_start(folder: Path, started: dict[str, Any]) -> None:
    before = read_json(folder / START_FILE, RunError)
    for name, value in started.items():
        if before.get(name) == value:
            continue
        if name == "config":
            old, new = before.get(name, {}), value
            key = next(key for key in new if old.get(key) != new[key])
            raise RunError(
                f"{folder}: was started with {key}={old.get(key)!r}, not {new[key]!r}; resume as it was started"
            )
        raise RunError(
            f"{folder}: was started with other {name}; resume with the same, or start over with --overwrite"
        )


def finish(
    folder: Path,
    classifier: Classifier,
    thresholds: Thresholds,
    log: TrainLog,
    metrics: dict[str, Any],
    ranges: dict[str, tuple[float, float]] | None = None,
) -> Checkpoint:
    """Write the run's files, run.json last, and remove the training's own checkpoints."""
    from safetensors.torch import save_file

    part = folder / "model.safetensors.part"
    save_file({k: v.detach().cpu().contiguous() for k, v in classifier.network.state_dict().items()}, part)
    part.replace(folder / "model.safetensors")
    write_text(folder / "tokenizer.json", classifier.tokenizer_json)
    save_configs(classifier.network.text, classifier.network.picture, folder)
    write_json(folder / METRICS, metrics)
    sha256 = sha256_of(folder / "model.safetensors")
    run = {
        "format": FORMAT,
        "kind": classifier.kind,
        "config": asdict(classifier.config),
        "labels": list(classifier.labels.names),
        "preprocess": classifier.spec.to_json(),
        "thresholds": thresholds.to_json(),
        "sha256": sha256,
        "ranges": ranges or {},
        "training": asdict(log),
        "distill": __version__,
        "python": platform.python_version(),
    }
    write_json(folder / RUN_FILE, run)
    shutil.rmtree(folder / "training", ignore_errors=True)
    return Checkpoint(folder, classifier, thresholds, sha256, ranges or {})
