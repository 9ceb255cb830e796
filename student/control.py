"""The control experiment: the same student with and without the teacher, seed by seed. Knows training order."""

from __future__ import annotations

import io
from collections.abc import Callable
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
from distill.training.trainer import train_model
from student.train import Lessons, Pupil, enrol
from student.verdict import Verdict, judge

ANSWERS = "control.npz"  # targets, teacher, taught-seedN and control-seedN, float32 (N, L) each

# What the teachers say of examples outside the training split.
AskTeacher = Callable[[list[Example]], SoftTargets]


def judged_split(splits: Splits) -> str:
    """Where arms are compared when there are no folds: test when it has labels, else dev."""
    return "test" if any(example.labels for example in splits.test) else "dev"


def compare(
    config: StudentConfig,
    splits: Splits,
    lessons: Lessons,
    ask_teacher: AskTeacher,
    seeds: int,
    folder: Path,
    resume: bool,
) -> Verdict:
    """Train both arms for `seeds` seeds, counted from the recipe's, and judge them on the same rows.

    With `config.out_of_fold` the rows are the training split, each answered by a model that was not trained
    on it, against a teacher of the same fold; else those of test where it has labels, or of dev. Finished
    trainings in `folder` are not repeated. The answers are kept beside `folder`, as ANSWERS.
    """
    configs = [replace(config, seed=config.seed + number) for number in range(seeds)]
    answers: dict[bool, list[Probabilities]] = {True: [], False: []}
    for one in configs:
        for taught in (True, False):
            pupil = enrol(one, splits, lessons, taught)
            note(f"{pupil.name}: {'with the teacher' if taught else 'the same student on the labels alone'}")
            # The student itself was trained in folder/all: it is not trained again.
            main = taught and one.seed == config.seed and (folder / "all").is_dir()
            place = folder / ("all" if main else f"{pupil.name}/all")
            answers[taught].append(_answers(pupil, splits, folder, place, resume or main))
    labels, objective = splits.labels, config.objective
    if config.out_of_fold:
        targets, what = labels.encode([e.labels for e in splits.train]), "out-of-fold train"
        teacher = _teacher_out_of_fold(lessons, splits)
    else:
        what = judged_split(splits)
        targets = labels.encode([e.labels for e in splits.named(what)])
        judged = splits.named(what)
        teacher = sigmoid(ask_teacher(judged).pick([content_hash(example) for example in judged]).logits)
    _keep(folder.parent / ANSWERS, targets, teacher, answers, configs)
    return judge(targets, [teacher], answers[True], answers[False], [c.seed for c in configs], objective, what)


@by_first
def _keep(
    path: Path,
    targets: Targets,
    teacher: Probabilities,
    answers: dict[bool, list[Probabilities]],
    configs: list[StudentConfig],
) -> None:
    """All that the verdict rests on, in the run's folder, for whoever wants another test than ours."""
    arrays = {"targets": targets, "teacher": teacher}
    for arm, outputs in (("taught", answers[True]), ("control", answers[False])):
        arrays |= {f"{arm}-seed{c.seed}": p for c, p in zip(configs, outputs, strict=True)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _answers(pupil: Pupil, splits: Splits, folder: Path, place: Path, resume: bool) -> Probabilities:
    if pupil.config.out_of_fold:
        return pupil.answers_out_of_fold(folder, resume).views.both
    stored = folder / pupil.name / "answers.float32"
    if not stored.is_file():
        network = pupil.classifier.network
        train_model(network, pupil.config, pupil.train, pupil.dev, pupil.make_loss(), place, resume)
        judged = pupil.classifier.encode(splits.named(judged_split(splits)))
        by_first(write_bytes)(stored, sigmoid(pupil.classifier.logits(judged)).tobytes())
    flat = np.frombuffer(stored.read_bytes(), dtype=np.float32)
    return flat.reshape(-1, len(pupil.classifier.labels))


def _teacher_out_of_fold(lessons: Lessons, splits: Splits) -> Probabilities:
    content = [content_hash(example) for example in splits.train]
    logits = np.zeros((len(content), len(splits.labels)), dtype=np.float32)
    for fold in lessons.folds:
        unseen = fold.unseen(content)
        logits[unseen] = fold.pick(content).logits[unseen]
    return sigmoid(logits)
