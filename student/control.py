"""The control experiment: the same student with and without the teacher, seed by seed."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from distill.core.files import write_bytes
from distill.core.recipe import StudentConfig
from distill.core.terminal import note
from distill.data.checks import content_hash
from distill.data.dataset import Example, Splits
from distill.model.distributed import by_first
from distill.model.soft_targets import SoftTargets
from distill.scoring.metrics import Probabilities, Targets, sigmoid
from distill.training.trainer import Workspace, train_model
from student.train import DistillationTargets, UntrainedStudent, prepare
from student.verdict import Arms, Verdict, judge

ANSWERS = "control.npz"  # targets, teacher, distilled-seedN and control-seedN, float32 (N, L) each

# What the teachers say of examples outside the training split.
AskTeacher = Callable[[list[Example]], SoftTargets]


def judged_split(splits: Splits) -> str:
    """Where arms are compared when there are no folds: test when it has labels, else dev."""
    return "test" if any(example.labels for example in splits.test) else "dev"


def compare(
    config: StudentConfig,
    splits: Splits,
    targets: DistillationTargets,
    ask_teacher: AskTeacher,
    seeds: int,
    training: Workspace,
) -> Verdict:
    """Train both arms for `seeds` seeds, counted from the recipe's, and judge them on the same rows.

    With `config.out_of_fold` the rows are the training split, each answered by a model that was not trained
    on it, against a teacher of the same fold; else those of test where it has labels, or of dev. Finished
    trainings in the workspace are not repeated. The probabilities are kept beside it, as ANSWERS.
    """
    configs = [replace(config, seed=config.seed + number) for number in range(seeds)]
    arms = Arms([], [], [])
    for one in configs:
        for distilled in (True, False):
            student = prepare(one, splits, targets, distilled)
            note(f"{student.name}: {'with the teacher' if distilled else 'the same student on the labels alone'}")
            # The student itself was trained in training/all: it is not trained again.
            main = distilled and one.seed == config.seed and (training.folder / "all").is_dir()
            place = training / "all" if main else training / student.name / "all"
            own = replace(place, resume=training.resume or main)
            (arms.distilled if distilled else arms.control).append(_probabilities(student, splits, training, own))
    judged_on, truth, teacher = _judged(config, splits, targets, ask_teacher)
    arms.teacher.append(teacher)
    seeds_used = [one.seed for one in configs]
    _keep(training.folder.parent / ANSWERS, truth, arms, seeds_used)
    return judge(truth, arms, seeds_used, config.threshold_objective, judged_on)


def _judged(
    config: StudentConfig, splits: Splits, targets: DistillationTargets, ask_teacher: AskTeacher
) -> tuple[str, Targets, Probabilities]:
    """The rows that arms are compared on: what they are, their targets and the teacher's probabilities (N, L)."""
    if config.out_of_fold:
        truth = splits.labels.encode([example.labels for example in splits.train])
        return "out-of-fold train", truth, _teacher_out_of_fold(targets, splits)
    name = judged_split(splits)
    examples = splits.examples(name)
    logits = ask_teacher(examples).pick([content_hash(example) for example in examples]).logits
    return name, splits.labels.encode([example.labels for example in examples]), sigmoid(logits)


@by_first
def _keep(path: Path, truth: Targets, arms: Arms, seeds: Sequence[int]) -> None:
    """All that the verdict rests on, in the run's folder, for whoever wants another test than ours."""
    arrays = {"targets": truth, "teacher": arms.teacher[0]}
    for name, outputs in (("distilled", arms.distilled), ("control", arms.control)):
        arrays |= {f"{name}-seed{seed}": p for seed, p in zip(seeds, outputs, strict=True)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _probabilities(student: UntrainedStudent, splits: Splits, training: Workspace, own: Workspace) -> Probabilities:
    classifier = student.classifier
    config = classifier.config
    if isinstance(config, StudentConfig) and config.out_of_fold:
        return student.out_of_fold(training).probabilities.both
    stored = training.folder / student.name / "answers.float32"
    if not stored.is_file():
        train_model(classifier.network, config, student.data, student.make_loss(), own)
        judged = classifier.encode(splits.examples(judged_split(splits)))
        by_first(write_bytes)(stored, sigmoid(classifier.logits(judged)).tobytes())
    flat = np.frombuffer(stored.read_bytes(), dtype=np.float32)
    return flat.reshape(-1, len(classifier.labels))


def _teacher_out_of_fold(targets: DistillationTargets, splits: Splits) -> Probabilities:
    content = [content_hash(example) for example in splits.train]
    logits = np.zeros((len(content), len(splits.labels)), dtype=np.float32)
    for fold in targets.folds:
        unseen = fold.unseen(content)
        logits[unseen] = fold.pick(content).logits[unseen]
    return sigmoid(logits)
