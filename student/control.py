"""The control experiment: the same student with and without its teacher, seed by seed, judged on the same rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distill.core.output.terminal import note
from distill.core.settings.recipe import StudentConfig
from distill.core.storage.files import write_bytes
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits, encode_targets
from distill.model.distributed import on_first_process
from distill.model.soft_targets import SoftTargets, held_out_logits
from distill.scoring.answers import OUT_OF_FOLD, Answers, Rows
from distill.scoring.baseline import PLAIN, Yardstick
from distill.scoring.calibration import label_rates
from distill.scoring.metrics import Probabilities, Targets
from distill.scoring.probabilities import to_probabilities
from distill.scoring.thresholds import Thresholds, fit_thresholds
from distill.training.calibrate import calibrate
from distill.training.trainer import CheckpointFolder, train_model
from student.train import DistillationTargets, UntrainedStudent, prepare_student
from student.verdict import Arms, DistillationVerdict, judge_distillation

PROBABILITIES = "control.npz"  # targets, teacher, if it answered, distilled-seedN and control-seedN, float32 (N, L)

# Soft targets for examples outside the training split.
SoftTargetsOf = Callable[[list[Example]], SoftTargets]


@dataclass(frozen=True)
class Beside:
    """What the arms are judged beside, and by: the teacher's word on other examples, the thresholds that ship with
    it, None for one that has none of its own, and the margin of the verdict with a baseline's answers."""

    soft_targets_of: SoftTargetsOf
    teacher_thresholds: Thresholds | None = None
    yardstick: Yardstick = PLAIN


def run_control_experiment(
    config: StudentConfig,
    splits: Splits,
    targets: DistillationTargets,
    beside: Beside,
    seeds: int,
    training: CheckpointFolder,
) -> DistillationVerdict:
    """Train both arms for `seeds` seeds, counted from the recipe's, and judge them on the same rows.

    With `config.out_of_fold` the rows are the training split, each predicted by a model that was not trained on it,
    and by a teacher of the same fold; else those of test if it has labels, or of dev. Every arm decides by the
    thresholds that would ship with it, or cross-fitted where these are fitted on the very rows. Finished trainings
    in `training` are not repeated. The probabilities are kept beside it, as PROBABILITIES.
    """
    configs = [replace(config, seed=config.seed + number) for number in range(seeds)]
    rows = _evaluation_rows(config, splits)
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
            answers = _decided(config, splits, rows, probabilities)
            (arms.distilled if distilled else arms.control).append(answers)
    arms.teacher.extend(_teacher_answers(config, splits, rows, targets, beside))
    used_seeds = [seed_config.seed for seed_config in configs]
    _write_probabilities(training.folder.parent / PROBABILITIES, rows.targets, arms, used_seeds)
    return judge_distillation(rows, arms, used_seeds, config.threshold_objective, beside.yardstick)


def _evaluation_rows(config: StudentConfig, splits: Splits) -> Rows:
    """The rows that the arms are compared on."""
    name = OUT_OF_FOLD if config.out_of_fold else splits.measured()
    examples = splits.train if config.out_of_fold else splits.examples(name)
    return Rows(name, splits.labels, encode_targets(examples, splits.labels))


def _teacher_answers(
    config: StudentConfig, splits: Splits, rows: Rows, targets: DistillationTargets, beside: Beside
) -> list[Answers]:
    """The teacher's, none where it did not answer for all rows. One without thresholds of its own, such as an
    ensemble, decides as a student with its outputs would."""
    train = encode_targets(splits.train, splits.labels)
    if config.out_of_fold:
        probabilities = {OUT_OF_FOLD: _teacher_out_of_fold(targets, splits)}
    else:
        parts = [rows.name] if beside.teacher_thresholds is not None else [rows.name, "dev"]
        probabilities = {name: _teacher_on(splits.examples(name), splits, beside) for name in dict.fromkeys(parts)}
    if any(np.isnan(p).any() for p in probabilities.values()):
        note(
            f"{rows.name}: the teacher's answers do not cover these rows, so that it is not judged beside the "
            "students"
        )
        return []
    if beside.teacher_thresholds is None:
        return [_decided(config, splits, rows, probabilities)]
    return [Answers.of(rows, probabilities[rows.name], beside.teacher_thresholds, train)]


def _teacher_on(examples: list[Example], splits: Splits, beside: Beside) -> Probabilities:
    logits = beside.soft_targets_of(examples).select([content_hash(example) for example in examples]).logits
    return to_probabilities(logits, splits.labels.group_columns)


def _decided(config: StudentConfig, splits: Splits, rows: Rows, probabilities: dict[str, Probabilities]) -> Answers:
    """By the thresholds that would ship: those of dev, or of the rows out of fold."""
    name = OUT_OF_FOLD if config.out_of_fold else "dev"
    train = encode_targets(splits.train, splits.labels)
    fitted_on = train if config.out_of_fold else encode_targets(splits.dev, splits.labels)
    objective, rates = config.threshold_objective, label_rates(train)
    thresholds = fit_thresholds(probabilities[name], fitted_on, objective, name, rates, rows.groups)
    return Answers.of(rows, probabilities[rows.name], thresholds, train)


@on_first_process
def _write_probabilities(path: Path, targets: Targets, arms: Arms, seeds: Sequence[int]) -> None:
    """Keep all that the verdict rests on, for other statistical tests than ours."""
    arrays = {"targets": targets} | ({"teacher": arms.teacher[0].probabilities} if arms.teacher else {})
    for name, answers in (("distilled", arms.distilled), ("control", arms.control)):
        arrays |= {f"{name}-seed{seed}": a.probabilities for seed, a in zip(seeds, answers, strict=True)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _probabilities(
    student: UntrainedStudent, splits: Splits, training: CheckpointFolder, checkpoints: CheckpointFolder
) -> dict[str, Probabilities]:
    """Of one arm with one seed, trained in `checkpoints`, or in folds: float32 (N, L) for the evaluation rows and
    for those that its thresholds are fitted on, by their names."""
    classifier = student.classifier
    config = classifier.config
    if isinstance(config, StudentConfig) and config.out_of_fold:
        return {OUT_OF_FOLD: student.out_of_fold(training).probabilities.both}
    names = dict.fromkeys([splits.measured(), "dev"])
    files = {name: training.folder / student.name / f"{name}.float32" for name in names}
    if not all(file.is_file() for file in files.values()):
        train_model(classifier.network, config, student.data, student.make_loss(), checkpoints)
        calibrate(classifier, student.data.dev, student.labelled.targets)
        for name, file in files.items():
            probabilities = classifier.probabilities(classifier.encode(splits.examples(name)))
            on_first_process(write_bytes)(file, probabilities.tobytes())
    stored = {name: np.frombuffer(file.read_bytes(), dtype=np.float32) for name, file in files.items()}
    return {name: flat.reshape(-1, len(classifier.labels)) for name, flat in stored.items()}


def _teacher_out_of_fold(targets: DistillationTargets, splits: Splits) -> Probabilities:
    of_hash = held_out_logits(targets.folds)
    logits = np.stack([of_hash[content_hash(example)] for example in splits.train])
    return to_probabilities(logits, splits.labels.group_columns)
