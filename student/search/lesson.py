"""What every candidate of a search learns from and is judged on, and one candidate's trainings in folds and
whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.core.errors import RunError
from distill.core.machine.cpu import CpuTarget
from distill.core.output.terminal import silence
from distill.core.settings.recipe import StudentConfig
from distill.core.storage.files import remove_folder, write_json
from distill.data.checks import content_hash
from distill.data.dataset import Splits, encode_targets
from distill.data.dividing.stratify import stratified_folds
from distill.data.likeness import groups_of, text_key
from distill.data.run_folder import METRICS, START_FILE, TRAINING
from distill.model.checkpoint import Checkpoint
from distill.model.classifier import Classifier
from distill.model.soft_targets import SoftTargets
from distill.scoring.thresholds import FittedOn, Thresholds
from distill.training.folds import predict_out_of_fold
from distill.training.run_writer import RunStart, claim_run
from distill.training.trainer import CheckpointFolder
from export.pipeline import ExportRequest, export_run
from student.search.ladder import Candidate
from student.train import DistillationTargets, check_labels, fit_student, prepare_student

ROWS = 8  # that an untrained student is exported with
FOLDS, FOLD_SEED = 3, 31  # for teachers that have none and need none


@dataclass(frozen=True)
class Lesson:
    """The data and the teachers' soft targets; `depends_on` names the teachers in a run's started.json."""

    splits: Splits
    targets: DistillationTargets
    depends_on: dict[str, Any]

    @classmethod
    def of(cls, splits: Splits, targets: DistillationTargets, depends_on: dict[str, Any], learned: bool) -> Lesson:
        """Of teachers that have `learned` from the training split, so that folds are theirs, or of a file of
        answers. Raises RunError for other labels, and for teachers without folds."""
        check_labels(targets.whole, splits.labels)
        if not learned:
            targets = with_folds(targets, splits, FOLDS)
        if not targets.folds:
            raise RunError(
                "a search judges students out of fold, and the teacher has no folds: train it with --set "
                "teacher.folds=3, or give one that distill baseline made"
            )
        return cls(splits, targets, depends_on)

    def targets_for(self, config: StudentConfig) -> DistillationTargets:
        """What a student of this recipe learns from."""
        return self.targets.held_out() if config.distill.held_out else self.targets

    def start(self, config: StudentConfig) -> RunStart:
        """What a candidate's run begins with: the same as of distill train-student, which can go on with it."""
        return RunStart("student", config, self.splits, self.depends_on)


def with_folds(targets: DistillationTargets, splits: Splits, count: int) -> DistillationTargets:
    """Targets with folds for teachers that have learned from no label here, such as a file of answers: whatever
    example a fold holds out, they may teach the others."""
    encoded = encode_targets(splits.train, splits.labels)
    hashes = [content_hash(example) for example in splits.train]
    keys = [[("text", key)] if (key := text_key(example.text)) else [] for example in splits.train]
    same = groups_of([hash_, *own] for hash_, own in zip(hashes, keys, strict=True))
    parts = stratified_folds(encoded, count, FOLD_SEED, same)
    return replace(targets, folds=[_held_out(targets.whole, {hashes[row] for row in part}) for part in parts])


def _held_out(whole: SoftTargets, hashes: set[str]) -> SoftTargets:
    mask = np.array([hash_ in hashes for hash_ in whole.content_hashes], dtype=bool)
    return replace(whole, held_out_mask=mask)


def answer_folds(lesson: Lesson, config: StudentConfig, folder: Path, folds: int) -> NDArray[np.float32]:
    """Train a candidate in the first `folds` folds: its probabilities float32 (N, L) for the training split, NaN
    for the rows of the other folds. What is trained already in `folder`, an unfinished run, is not trained
    again."""
    with claim_run(folder, lesson.start(config), (folder / START_FILE).is_file(), overwrite=False) as is_unfinished:
        if not is_unfinished:
            raise RunError(
                f"{folder}: is finished, and its answers out of fold are gone; start over with --overwrite"
            )
        student = prepare_student(config, lesson.splits, lesson.targets_for(config), distilled=True)
        checkpoints = CheckpointFolder(folder / TRAINING / student.name, resume=True)
        answers = predict_out_of_fold(
            student.classifier, student.folds, student.make_loss, checkpoints, max_folds=folds
        )
    probabilities = np.full_like(answers.probabilities.both, np.nan)
    for fold in student.folds.parts[:folds]:
        probabilities[fold.held_out_rows] = answers.probabilities.both[fold.held_out_rows]
    return probabilities


def finish(lesson: Lesson, config: StudentConfig, folder: Path) -> None:
    """Train a candidate on everything; its folds are those that it was judged on."""
    with claim_run(folder, lesson.start(config), (folder / START_FILE).is_file(), overwrite=False) as is_unfinished:
        if is_unfinished:
            targets = lesson.targets_for(config)
            fit_student(config, lesson.splits, targets, CheckpointFolder(folder, resume=True))


def export_untrained(lesson: Lesson, candidate: Candidate, target: CpuTarget, out: Path) -> None:
    """The Bundle of a candidate before any training, at `out`: it costs what a trained one does, and is right about
    nothing. Its convolutions are int8, the quicker way, which a trained one may have to do without."""
    config, splits = candidate.config, lesson.splits
    network = Classifier.pretrained("student", config, splits.labels, [e.text for e in splits.train])
    network.network.eval()
    groups = splits.labels.group_columns
    grouped = {place for columns in groups.values() for place in columns}
    values = tuple(None if place in grouped else 0.5 for place in range(len(splits.labels)))
    thresholds = Thresholds(values, config.threshold_objective, FittedOn("no rows", 0), dict(groups))
    write_json(out.with_name(f"{out.name}-run") / METRICS, {})
    student = Checkpoint(out.with_name(f"{out.name}-run"), network, thresholds, "", {})
    labelled = sorted(splits.dev, key=lambda example: not example.labels)
    part = replace(splits, train=splits.train[:ROWS], dev=labelled[:ROWS])
    asked = candidate.recipe.export
    quick = replace(
        asked,
        matmuls="dynamic",
        convolutions="float" if asked.convolutions == "float" else "int8",
        calibration="minmax" if asked.calibration == "auto" else asked.calibration,
        calibration_examples=min(asked.calibration_examples, ROWS),
        max_f1_drop=1.0,
        allow_slower=True,
    )
    request = ExportRequest(candidate.precision, target, out, overwrite=True)
    with silence():  # all that it says is of an untrained network
        export_run(student, part, quick, request)
    remove_folder(request.fp32_out)


def export_trained(lesson: Lesson, candidate: Candidate, folder: Path, target: CpuTarget, out: Path) -> None:
    """The Bundle of a finished candidate, as distill export writes it, without its fp32 parent."""
    request = ExportRequest(candidate.precision, target, out, overwrite=True)
    export_run(Checkpoint.load(folder), lesson.splits, candidate.recipe.export, request)
    remove_folder(request.fp32_out)
