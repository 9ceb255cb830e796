"""--dry-run: what a training or an export would do, how long and how large. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.cli.results import print_json
from distill.core.settings.columns import Columns

if TYPE_CHECKING:
    from distill.core.settings.recipe import Recipe, TeacherConfig
    from distill.data.dataset import Splits
    from distill.data.teacher_sources import TeacherSources
    from distill.training.rehearsal import TrainingPlan
    from export.plan import ExportPlan

MB = 1e6
MINUTE, HOUR = 60, 3600


def plan_teacher(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: Sequence[str],
    columns: Columns,
    unlabelled: Path | None = None,
) -> TrainingPlan:
    """Of `distill train-teacher`. Raises as it does."""
    from distill.core.settings.recipe import Recipe

    settings = Recipe.load(recipe, overrides, ["teacher"])
    splits = _read(data, out, settings, columns, unlabelled=unlabelled)
    from teacher.train import check_unlabelled

    check_unlabelled(settings.teacher, unlabelled)
    return teacher_plan(settings.teacher, splits, out, max(settings.teacher.folds, 1))


def teacher_plan(
    config: TeacherConfig, splits: Splits, out: Path, trainings: int, name: str = "the teacher"
) -> TrainingPlan:
    """Of teachers of one recipe, trained so many times on the training split."""
    from distill.training.rehearsal import TrainingTask, rehearse
    from teacher.train import fit_teacher

    quick = replace(config, epochs=1, folds=0, class_weights="none")
    task = TrainingTask(
        name, config.batch_size, config.epochs, trainings, lambda part, run: fit_teacher(quick, part, run)
    )
    return rehearse(task, splits, out)


def plan_student(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: Sequence[str],
    columns: Columns,
    sources: TeacherSources,
    arms: int,
    unlabelled: Path | None = None,
) -> TrainingPlan:
    """Of `distill train-student`, which trains so many `arms`. Raises as it does."""
    from distill.core.settings.recipe import Recipe

    settings = Recipe.load(recipe, overrides, ["student"])
    splits = _read(data, out, settings, columns, next(iter(sources.runs), None), unlabelled)
    from distill.training.rehearsal import TrainingTask, rehearse
    from student.train import DistillationTargets, fit_student
    from teacher.teachers import Teachers

    config, teachers = settings.student, Teachers.open(sources, splits.labels)
    quick = replace(config, epochs=1, out_of_fold=False)
    folds = len(teachers.folds(splits.train)) if config.out_of_fold else 1
    if config.distill.held_out:
        DistillationTargets(teachers.soft_targets(splits.train), teachers.folds(splits.train)).held_out()

    def sample(part: Splits, run: Any) -> Any:
        return fit_student(quick, part, DistillationTargets(teachers.soft_targets(part.train)), run)

    return rehearse(
        TrainingTask("the student", config.batch_size, config.epochs, folds * arms, sample, len(splits.unlabelled)),
        splits,
        out,
    )


def plan_finetune(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: Sequence[str],
    columns: Columns,
    student: Path,
    sources: TeacherSources,
) -> TrainingPlan:
    """Of `distill finetune-int8`. Raises as it does."""
    from distill.core.settings.recipe import Recipe

    settings = Recipe.load(recipe, overrides, ["finetune"])
    splits = _read(data, out, settings, columns, student)
    from distill.core.machine.cpu import detect_target, weight_limit
    from distill.model.checkpoint import Checkpoint
    from distill.training.rehearsal import TrainingTask, rehearse
    from student.finetune import finetune_student, settings_of
    from student.train import DistillationTargets
    from teacher.teachers import Teachers

    limit, teachers = weight_limit(detect_target()), Teachers.open(sources, splits.labels)
    size = settings_of(Checkpoint.load(student)).batch_size
    quick = replace(settings.finetune, epochs=1)

    def sample(part: Splits, run: Any) -> Any:
        targets = DistillationTargets(teachers.soft_targets(part.train))
        return finetune_student(Checkpoint.load(student), quick, part, targets, limit, run)

    return rehearse(TrainingTask("the student", size, settings.finetune.epochs, 1, sample), splits, out)


def plan_search(
    data: Path,
    out: Path,
    recipe: Path | None,
    overrides: Sequence[str],
    columns: Columns,
    sources: TeacherSources,
    ladder: Path | None,
    families: dict[str, dict[str, Any]],
    unlabelled: Path | None = None,
) -> TrainingPlan:
    """Of `distill search-student`, from its first candidate, and if every round keeps half. Raises as it does."""
    from distill.core.settings.recipe import Recipe
    from distill.core.settings.unread import IN_SEARCH

    settings = Recipe.load(recipe, overrides, ["student", "export"], varied=True, unread=IN_SEARCH)
    splits = _read(data, out, settings, columns, next(iter(sources.runs), None), unlabelled)
    from bench.search.run import lesson_of
    from distill.core.output.terminal import note
    from distill.training.rehearsal import TrainingTask, rehearse
    from student.search.halving import trainings_of
    from student.search.ladder import ladder_of
    from student.train import fit_student

    candidates, lesson = ladder_of(ladder, families, settings), lesson_of(sources, settings, splits)
    note(f"{len(candidates)} candidates: {', '.join(each.name for each in candidates)}")
    config = candidates[0].config
    quick = replace(config, epochs=1, out_of_fold=False)
    trainings = trainings_of(len(candidates), len(lesson.targets.folds))

    def sample(part: Splits, run: Any) -> Any:
        return fit_student(quick, part, replace(lesson.targets_for(config), folds=[], unlabelled=[]), run)

    name = f"a search of {len(candidates)} students"
    task = TrainingTask(name, config.batch_size, config.epochs, trainings, sample, len(splits.unlabelled))
    return rehearse(task, splits, out)


def show_plan(*plans: TrainingPlan) -> None:
    """Print what would be done."""
    from distill.core.output.terminal import note

    print_json([asdict(plan) for plan in plans])
    for plan in plans:
        _show_table(f"{plan.name}: what would be done", _training_rows(plan))
    if len(plans) > 1:
        note(f"all {len(plans)}: at most about {duration(sum(plan.seconds for plan in plans))}")
    note("nothing was written")


def show_export_plan(plan: ExportPlan) -> None:
    """Print what would be done."""
    from distill.core.output.terminal import note

    print_json(asdict(plan))
    rows = {
        "rows": f"{plan.train:,} train, {plan.dev:,} dev",
        "labels": str(plan.labels),
        "Bundles": ", ".join(plan.bundles),
        "files to try": str(plan.candidates),
        "time": f"about {duration(plan.seconds)}, from a real export with {plan.rehearsed} rows",
        "disk": f"{size(plan.bundle_bytes)} in the end, up to {size(plan.peak_bytes)} while it works; "
        f"{size(plan.free_bytes)} are free",
    }
    _show_table("export: what would be done", rows)
    note("nothing was written")


def duration(seconds: float) -> str:
    """A rough duration: 40 s, 12 min, 3.5 h."""
    if seconds < 2 * MINUTE:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"


def size(size_bytes: int) -> str:
    """A size in MB or GB."""
    return f"{size_bytes / MB:,.1f} MB" if size_bytes < 1000 * MB else f"{size_bytes / MB / 1000:,.1f} GB"


def _training_rows(plan: TrainingPlan) -> dict[str, str]:
    each = f" x {plan.trainings} trainings" if plan.trainings > 1 else ""
    return {
        "rows": f"{plan.train:,} train, {plan.dev:,} dev",
        "labels": str(plan.labels),
        "parameters": f"{plan.parameters:,}, of which {plan.trainable:,} are trained, on {plan.device}",
        "steps": f"at most {plan.steps:,}: batches of {plan.batch_size}, {plan.epochs} epochs{each}",
        "time": f"at most about {duration(plan.seconds)}, without early stopping; {plan.step_ms:,.0f} ms a step",
        "disk": f"{size(plan.run_bytes)} in the end, up to {size(plan.peak_bytes)} while it trains; "
        f"{size(plan.free_bytes)} are free",
    }


def _show_table(title: str, rows: dict[str, str]) -> None:
    from rich.table import Table

    from distill.core.output.terminal import output

    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    output.print(table)


def _read(
    data: Path,
    out: Path,
    settings: Recipe,
    columns: Columns,
    run: Path | None = None,
    unlabelled: Path | None = None,
) -> Splits:
    """The data, checked as the training does."""
    from distill.api import read_by_recipe
    from distill.core.storage.files import refuse_overwriting
    from distill.data.unlabelled import with_unlabelled

    refuse_overwriting(out, data, *([] if unlabelled is None else [unlabelled]))
    return with_unlabelled(read_by_recipe(data, settings, columns, run), unlabelled)
