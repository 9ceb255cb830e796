"""The control experiment: the same student with and without its teacher, seed by seed, judged on the same rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distill.core.files import write_bytes
from distill.core.recipe import StudentConfig
from distill.core.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits, encode_targets
from distill.model.distributed import on_first_process
from distill.model.soft_targets import SoftTargets
from distill.scoring.metrics import Probabilities, Targets
from distill.scoring.probabilities import to_probabilities
from distill.training.calibrate import calibrate
from distill.training.trainer import CheckpointFolder, train_model
from student.train import DistillationTargets, UntrainedStudent, prepare_student
from student.verdict import Arms, DistillationVerdict, judge_distillation

PROBABILITIES = "control.npz"  # targets, teacher, if it answered, distilled-seedN and control-seedN, float32 (N, L)

# Soft targets for examples outside the training split.
SoftTargetsOf = Callable[[list[Example]], SoftTargets]


def run_control_experiment(
    config: StudentConfig,
    splits: Splits,
    targets: DistillationTargets,
    soft_targets_of: SoftTargetsOf,
    seeds: int,
    training: CheckpointFolder,
) -> DistillationVerdict:
    """Train both arms for `seeds` seeds, counted from the recipe's, and judge them on the same rows.

    With `config.out_of_fold` the rows are the training split, each predicted by a model that was not trained on it,
    and by a teacher of the same fold; else those of test if it has labels, or of dev. Finished trainings in
    `training` are not repeated. The probabilities are kept beside it, as PROBABILITIES.
    """
    configs = [replace(config, seed=config.seed + number) for number in range(seeds)]
    arms = Arms([], [], [])
    for seed_config in configs:
        for distilled in (True, False):
            student = prepare_student(seed_config, splits, targets, distilled)
            note(f"{student.name}: {'with the teacher' if distilled else 'the same student on the labels alone'}")
            # The student itself was trained in training/all: it is not trained again.
            is_main = distilled and seed_config.seed == config.seed and (training.folder / "all").is_dir()
            checkpoints = training.child("all") if is_main else training.child(student.name).child("all")
            checkpoints = replace(checkpoints, resume=training.resume or is_main)
            probabilities = _probabilities(student, splits, training, checkpoints)
            (arms.distilled if distilled else arms.control).append(probabilities)
    rows = _evaluation_rows(config, splits, targets, soft_targets_of)
    if rows.teacher is not None:
        arms.teacher.append(rows.teacher)
    used_seeds = [seed_config.seed for seed_config in configs]
    _write_probabilities(training.folder.parent / PROBABILITIES, rows.targets, arms, used_seeds)
    groups = splits.labels.group_columns
    return judge_distillation(rows.targets, arms, used_seeds, config.threshold_objective, rows.name, groups)


@dataclass(frozen=True)
class _EvaluationRows:
    """Rows that the arms are compared on, with the teacher's probabilities for them, float32 (N, L), None if it did
    not answer for all of them."""

    name: str
    targets: Targets
    teacher: Probabilities | None


def _evaluation_rows(
    config: StudentConfig, splits: Splits, targets: DistillationTargets, soft_targets_of: SoftTargetsOf
) -> _EvaluationRows:
    teacher: Probabilities | None
    if config.out_of_fold:
        name, examples, teacher = "out-of-fold train", splits.train, _teacher_out_of_fold(targets, splits)
    else:
        name = splits.measured()
        examples = splits.examples(name)
        content_hashes = [content_hash(example) for example in examples]
        logits = soft_targets_of(examples).select(content_hashes).logits
        teacher = to_probabilities(logits, splits.labels.group_columns)
    if np.isnan(teacher).any():
        note(f"{name}: the teacher's answers do not cover these rows, so that it is not judged beside the students")
        teacher = None
    return _EvaluationRows(name, encode_targets(examples, splits.labels), teacher)


@on_first_process
def _write_probabilities(path: Path, targets: Targets, arms: Arms, seeds: Sequence[int]) -> None:
    """Keep all that the verdict rests on, for other statistical tests than ours."""
    arrays = {"targets": targets} | dict(zip(["teacher"], arms.teacher, strict=False))
    for name, outputs in (("distilled", arms.distilled), ("control", arms.control)):
        arrays |= {f"{name}-seed{seed}": p for seed, p in zip(seeds, outputs, strict=True)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _probabilities(
    student: UntrainedStudent, splits: Splits, training: CheckpointFolder, checkpoints: CheckpointFolder
) -> Probabilities:
    """Of one arm with one seed, trained in `checkpoints`, or in folds: float32 (N, L) for the evaluation rows."""
    classifier = student.classifier
    config = classifier.config
    if isinstance(config, StudentConfig) and config.out_of_fold:
        return student.out_of_fold(training).probabilities.both
    stored = training.folder / student.name / "answers.float32"
    if not stored.is_file():
        train_model(classifier.network, config, student.data, student.make_loss(), checkpoints)
        calibrate(classifier, student.data.dev, student.labelled.targets)
        encoded = classifier.encode(splits.examples(splits.measured()))
        on_first_process(write_bytes)(stored, classifier.probabilities(encoded).tobytes())
    flat = np.frombuffer(stored.read_bytes(), dtype=np.float32)
    return flat.reshape(-1, len(classifier.labels))


def _teacher_out_of_fold(targets: DistillationTargets, splits: Splits) -> Probabilities:
    content_hashes = [content_hash(example) for example in splits.train]
    logits = np.zeros((len(content_hashes), len(splits.labels)), dtype=np.float32)
    for fold in targets.folds:
        unseen = fold.unseen(content_hashes)
        logits[unseen] = fold.select(content_hashes).logits[unseen]
    return to_probabilities(logits, splits.labels.group_columns)
