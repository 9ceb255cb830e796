"""A training run's folder: claimed when training begins, written when it ends (layout: distill.data.run_folder).

From beginning to end one process writes it; of several that train together, the first.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distill import __version__
from distill.core.errors import RunError
from distill.core.output.transcript import open_transcript
from distill.core.settings.model_config import ModelConfig
from distill.core.storage.files import (
    read_json,
    remove_leftovers,
    sha256_of,
    write_error,
    write_json,
    write_text,
)
from distill.core.storage.lock import lock_inside, sole_writer
from distill.data.checks import content_hash
from distill.data.dataset import Splits
from distill.data.run_folder import (
    FORMAT,
    GROUPS_FORMAT,
    KEPT_MARK,
    METRICS,
    REPLACED,
    RESUME,
    RUN_FILE,
    START_FILE,
    TOKENIZER,
    TRAINING,
    WEIGHTS,
    describe_difference,
    describe_non_run,
    is_run,
    keeps_run,
)
from distill.model.checkpoint import ActivationRanges, Checkpoint
from distill.model.classifier import Classifier
from distill.model.compute import default_device
from distill.model.distributed import check_batch_size, on_first_process, rank
from distill.model.encoders.weights import save_config
from distill.model.network import TwoTowerNetwork
from distill.model.training_log import TrainLog
from distill.runtime.bundle import Kind
from distill.scoring.thresholds import Thresholds
from distill.training import replaced


@dataclass(frozen=True)
class RunStart:
    """Everything that decides the result of a run: a resumed run must have the same. `depends_on` holds what is
    neither config nor splits, such as a student's teachers and unlabelled examples."""

    kind: Kind
    config: ModelConfig
    splits: Splits
    depends_on: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The content of started.json, with hashes of the examples."""
        hashes = {
            name: sorted(content_hash(example) for example in self.splits.examples(name))
            for name in ("train", "dev")
        }
        columns = self.splits.columns
        said = columns.to_json() | ({"images": str(Path(columns.images).absolute())} if columns.images else {})
        return {
            **({"columns": said} if said else {}),
            "kind": self.kind,
            "config": asdict(self.config),
            "labels": list(self.splits.labels.names),
            **({"groups": groups} if (groups := self.splits.labels.groups_to_json()) else {}),
            "data": hashes,
            "depends_on": self.depends_on,
        }


@contextmanager
def claim_run(folder: Path, start: RunStart, resume: bool, overwrite: bool) -> Iterator[bool]:
    """Claim the folder for a run while the block lasts: whether there is anything to train, which is False for a
    finished run. A run to `overwrite` stays in the folder's `REPLACED` until the new one is finished, and comes
    back where the block ends before anything of it is there.

    Raises RunError for `resume` and `overwrite` together, if the folder is a file, another process has claimed it,
    or it holds other files, or a run without `resume` or `overwrite`, or, with `resume`, one that was started with
    another recipe or data.
    """
    with _only_writer(folder) if rank() == 0 else nullcontext():
        try:
            is_unfinished = begin_run(folder, start, resume, overwrite)
            if is_unfinished and rank() == 0:
                open_transcript(folder)
            yield is_unfinished
        finally:
            if rank() == 0:
                replaced.end(folder)


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; choose another folder to write to")
    remove_leftovers(folder)
    is_new = not folder.exists()
    try:
        with sole_writer(folder, lock_inside(folder), RunError):
            yield
    finally:
        if is_new:
            with suppress(OSError):  # it is no longer empty
                folder.rmdir()


@on_first_process
def begin_run(folder: Path, start: RunStart, resume: bool, overwrite: bool) -> bool:
    """What `claim_run` does once it is the only writer."""
    check_batch_size(start.config.batch_size)
    default_device()  # one that is not there is said before any work
    if resume and overwrite:
        raise RunError(f"{folder}: resume and overwrite exclude each other; give one of them")
    started = start.to_json()
    remove_leftovers(folder / START_FILE)
    replaced.settle(folder, resume)
    if overwrite and (is_run(folder) or (folder / START_FILE).is_file()):
        replaced.set_aside(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    names -= replaced.NO_WORK | ({REPLACED, KEPT_MARK} if keeps_run(folder) else set())
    if names - {START_FILE}:  # started.json alone, such as after its encoders failed to load, is no work to lose
        if not (folder / START_FILE).is_file():
            raise RunError(f"{folder}: holds files that are not a run; choose another --out")
        if not resume:
            if finished := describe_non_run(folder):
                raise RunError(
                    f"{folder}: holds {finished}; pass --overwrite to start over, or choose another --out"
                )
            what = "a finished" if is_run(folder) else "an unfinished"
            raise RunError(
                f"{folder}: holds {what} run; pass --resume to go on with it or --overwrite to start over"
            )
        _check_same_start(folder, started)
        if is_run(folder):  # killed between run.json and the end
            shutil.rmtree(folder / TRAINING, ignore_errors=True)
        return not is_run(folder)
    if resume and not names:
        raise RunError(f"{folder}: nothing to resume; leave --resume out to start a run there")
    if resume:  # killed before its first checkpoint
        _check_same_start(folder, started)
        return True
    write_json(folder / START_FILE, started)
    return True


def _check_same_start(folder: Path, started: dict[str, Any]) -> None:
    before = read_json(folder / START_FILE, RunError)
    if not isinstance(before, dict) or not isinstance(before.get("config"), dict):
        raise RunError(f"{folder / START_FILE}: damaged; start over with --overwrite")
    none: dict[str, Any] = {"groups": {}}  # what is not there is compared, too
    for name, value in (none | started).items():
        old = (none | before).get(name)
        if old == value:
            continue
        where = "" if name in ("config", "depends_on") else name
        changed = describe_difference(old, value, where)
        raise RunError(f"{folder}: was started {changed}; resume as it was started, or start over with --overwrite")


def finish_run(
    folder: Path,
    classifier: Classifier,
    thresholds: Thresholds,
    log: TrainLog,
    metrics: dict[str, Any],
    ranges: ActivationRanges | None = None,
) -> Checkpoint:
    """Write the run's files, run.json last, and remove the Trainer's checkpoints. Raises OutputError."""
    sha256 = _write_run(folder, classifier, thresholds, log, metrics, ranges or {})
    return Checkpoint(folder, classifier, thresholds, sha256, ranges or {})


@on_first_process
def _write_run(
    folder: Path,
    classifier: Classifier,
    thresholds: Thresholds,
    log: TrainLog,
    metrics: dict[str, Any],
    ranges: ActivationRanges,
) -> str:
    _save_weights(classifier.network, folder / WEIGHTS)
    write_text(folder / TOKENIZER, classifier.tokenizer_json)
    save_config(classifier.network.text, folder / "text")
    save_config(classifier.network.image, folder / "image")
    write_json(folder / METRICS, metrics)
    sha256 = sha256_of(folder / WEIGHTS)
    run = {
        "format": GROUPS_FORMAT if thresholds.groups else FORMAT,
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


def _save_weights(network: TwoTowerNetwork, path: Path) -> None:
    """Write the file whole or not at all. Raises OutputError in place of safetensors' own errors."""
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
        raise write_error(path, str(error), size_bytes, RESUME) from error
