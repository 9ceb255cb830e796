"""The commands as Python functions: `distill.train_teacher(...)` does what `distill train-teacher` does.

Progress goes to standard error, as on the command line. Every error is a `distill.DistillError` of one line.
What is slow to import is imported by the function that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import distill  # its names are looked up when they are used, also by typing.get_type_hints
from distill.core.arguments import check_choice, check_integer, check_margin, to_path, translates_os_errors
from distill.core.errors import ArgumentError, DistillError, RunError
from distill.core.machine.cpu import TARGETS, CpuTarget, detect_target, weight_limit
from distill.core.machine.device import Device, using_device
from distill.core.machine.runtimes import RUNTIMES, Provider, Runtime
from distill.core.output.transcript import recorded
from distill.core.package_guard import require_own
from distill.core.settings.columns import Columns
from distill.core.settings.recipe import MARGIN
from distill.core.settings.unread import IN_SEARCH, unread_in_export
from distill.core.storage.files import (
    read_json,
    refuse_existing,
    refuse_overwriting,
    refuse_working_directory,
    write_json,
)
from distill.data.answer_rows import Scale
from distill.data.teacher_sources import TeacherSources
from distill.runtime.bundle import Bundle, Precision

if TYPE_CHECKING:
    from distill.core.settings.recipe import Recipe
    from distill.model.checkpoint import Checkpoint
    from distill.scoring.baseline import BaselineAnswers

PathLike = str | os.PathLike[str]
ColumnsLike = Columns | Mapping[str, Any] | None  # Columns(text="caption"), or {"text": "caption"}
ReportTo = str | Sequence[str] | None  # "mlflow", or ["mlflow", "tensorboard"]
Callbacks = Sequence[Any]
Overrides = Mapping[str, Any] | Sequence[str] | None  # {"teacher.epochs": 12}, or ["teacher.epochs=12"]


@translates_os_errors
def read_dataset(
    data: PathLike,
    run: PathLike | None = None,
    columns: ColumnsLike = None,
    *,
    one_label: bool = False,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> distill.Splits:
    """Read and check a dataset: a folder, one file, which is split 70/15/15, or OWNER/NAME on the Hugging Face hub.

    With a `run` or Bundle, the label set is its own, and so are the columns that it was trained on, as far as
    `columns` names no others. Rows without labels are left out of the splits, see
    `Splits.with_known_labels`. Of each of the `groups`, lists of labels by name, exactly one is true of a row; with
    `one_label`, exactly one of all. Warnings are printed; faults raise DataError.
    """
    from distill.core.output.terminal import note, warn
    from distill.data.checks import check_splits
    from distill.data.dataset import read_splits
    from distill.data.groups import AskedGroups
    from distill.runtime.bundle import columns_of, labels_of
    from distill.runtime.hub_dataset import resolve_dataset

    owner = None if run is None else to_path("run", run)
    asked, remembered = Columns.of(columns), None if owner is None else columns_of(owner)
    exclusive, known = AskedGroups.of(one_label, groups), None if owner is None else labels_of(owner)
    if known is not None:
        known.refuse_other_groups(exclusive, owner)
    source = resolve_dataset(os.fspath(to_path("data", data)))
    splits = read_splits(source, known, asked, remembered, exclusive)
    for line in check_splits(splits, owner):
        warn(line)
    splits = splits.with_known_labels()
    sizes = f"{len(splits.train)} train, {len(splits.dev)} dev, {len(splits.test)} test"
    one_of = "".join(f", exactly one of the group {group}" for group in splits.labels.groups)
    note(f"{data}: {sizes} examples, {len(splits.labels)} labels{one_of}")
    return splits


def read_by_recipe(
    data: PathLike, settings: Recipe, columns: ColumnsLike = None, run: PathLike | None = None
) -> distill.Splits:
    """As `read_dataset`, by the columns and the groups of labels of a recipe; `columns` come before its own."""
    return read_dataset(data, run, Columns.of(columns).over(settings.data.columns), **vars(settings.labels))


@recorded
@translates_os_errors
def train_teacher(
    data: PathLike,
    out: PathLike,
    *,
    recipe: PathLike | None = None,
    overrides: Overrides = None,
    resume: bool = False,
    overwrite: bool = False,
    device: Device | None = None,
    columns: ColumnsLike = None,
    report_to: ReportTo = None,
    callbacks: Callbacks = (),
    one_label: bool = False,
    unlabelled: PathLike | None = None,
    baseline: PathLike | None = None,
    margin: float = MARGIN,
) -> distill.Checkpoint:
    """Train the full model and write its run to `out`. A finished run that is resumed is opened as it is. `device`
    is auto, cpu, cuda or mps.

    With `one_label`, exactly one label is true of each row and decided; for groups of labels, see the recipe's
    `labels.groups`. `report_to` names trackers in place of the recipe's, "none" for none of them
    (docs/tracking.md); `callbacks` are transformers.TrainerCallback objects or classes. With teacher.folds, the
    folds' teachers answer the rows of the file `unlabelled` too, so that they can join students' folds. The teacher
    is compared with the run or Bundle `baseline`, by default a run that `fit_baselines` left beside `out` as
    "baseline", and not at all with "none"; `margin` is the smallest difference in F1 that matters. Raises
    RecipeError, DataError, BackboneError, RunError and OutputError.
    """
    require_own("teacher")
    check_margin(margin)
    folder = _output(out, data, *_given(unlabelled=unlabelled))
    settings = _recipe(recipe, overrides, "teacher", one_label=one_label)
    trackers = _trackers(report_to, settings)
    config, splits = settings.teacher, _with_unlabelled(read_by_recipe(data, settings, columns), unlabelled)
    from distill.core.output.terminal import warn
    from distill.data.checks import thin_dev
    from distill.scoring.answers import OUT_OF_FOLD
    from distill.training.following import check_callbacks, follow
    from distill.training.run_writer import RunStart, claim_run
    from teacher.train import check_unlabelled, fit_teacher

    check_unlabelled(config, unlabelled)
    if not config.folds:
        for line in thin_dev(splits, "--set teacher.folds=5 rests them on train"):
            warn(line)
    start = RunStart("teacher", config, splits, _answered(bool(config.folds), splits))
    heard = check_callbacks(callbacks)
    with using_device(device), claim_run(folder, start, resume, overwrite) as is_unfinished:
        if not is_unfinished:
            return _finished(folder)
        name = OUT_OF_FOLD if config.folds else "dev"
        rivals = baselines(baseline, folder, splits, [name], margin)
        with follow(folder, start, resume, trackers, heard) as run:
            return fit_teacher(config, splits, run, baseline=rivals.get(name))


@recorded
@translates_os_errors
def fit_baselines(
    data: PathLike,
    out: PathLike,
    *,
    use: str | None = None,
    recipe: PathLike | None = None,
    overrides: Overrides = None,
    resume: bool = False,
    overwrite: bool = False,
    device: Device | None = None,
    columns: ColumnsLike = None,
    report_to: ReportTo = None,
    one_label: bool = False,
    unlabelled: PathLike | None = None,
) -> distill.Checkpoint:
    """Compare logistic regressions on n-grams and on frozen encoders' features, and write the one that `use` names
    ("n-grams", "text", "image", "text + image", "text + image + n-grams", or with "static" in place of "text"), or
    else the best, as a run to `out`.

    `device`, `report_to`, `one_label` and `unlabelled` are those of `train_teacher`. Raises RecipeError, DataError,
    BackboneError, RunError and OutputError.
    """
    require_own("teacher")
    folder = _output(out, data, *_given(unlabelled=unlabelled))
    from distill.training.following import follow
    from distill.training.run_writer import RunStart, claim_run
    from teacher import baseline

    unread = baseline.unread_settings()
    settings = _recipe(recipe, overrides, "teacher", one_label=one_label, varied=True, unread=unread)
    trackers = _trackers(report_to, settings)
    if use is not None:
        check_choice("use", use, tuple(baseline.PARTS))
    config, splits = settings.teacher, _with_unlabelled(read_by_recipe(data, settings, columns), unlabelled)
    baseline.check_use(config, splits, use)  # before a run is deleted for it
    depends_on = {"baseline": use or "the best"} | _answered(folds=True, splits=splits)
    start = RunStart("teacher", config, splits, depends_on)
    with using_device(device), claim_run(folder, start, resume, overwrite) as is_unfinished:
        if not is_unfinished:
            return _finished(folder)
        with follow(folder, start, resume, trackers) as run:
            return baseline.fit_baselines(config, splits, run, use)[1]


@translates_os_errors
def train_student(
    data: PathLike,
    out: PathLike,
    *,
    teacher: PathLike | Sequence[PathLike] | None = None,
    teacher_answers: PathLike | None = None,
    answers_are: Scale | None = None,
    unlabelled: PathLike | None = None,
    control: bool = False,
    seeds: int = 1,
    recipe: PathLike | None = None,
    overrides: Overrides = None,
    resume: bool = False,
    overwrite: bool = False,
    device: Device | None = None,
    columns: ColumnsLike = None,
    report_to: ReportTo = None,
    callbacks: Callbacks = (),
    one_label: bool = False,
    baseline: PathLike | None = None,
    margin: float = MARGIN,
) -> distill.Checkpoint:
    """Distil a teacher's run, an ensemble of several, or a file of answers into a small model, a run at `out`.

    `teacher_answers` holds a probability or logit for each id and label, from whoever gave it; with `teacher` too,
    it is one teacher more, and logits are averaged. `answers_are` says which of the two, where the values do not.
    `control`, or more than one seed, also trains the same student without the teacher and judges the difference.
    `report_to`, `callbacks`, `baseline` and `margin` are those of `train_teacher`, and so is `one_label`; with a
    `teacher`, its run's counts.
    Raises RecipeError, DataError, BackboneError, RunError and OutputError.
    """
    require_own("student", "teacher")
    check_integer("seeds", seeds, 1)
    check_margin(margin)
    with_control = control or seeds > 1
    sources = TeacherSources.of(teacher, teacher_answers, answers_are)
    folder = _output(out, data, *sources.paths(), *_given(unlabelled=unlabelled))
    settings = _recipe(recipe, overrides, "student", one_label=one_label)
    trackers = _trackers(report_to, settings)
    config, splits = settings.student, read_by_recipe(data, settings, columns, next(iter(sources.runs), None))
    from distill.core.output.terminal import warn
    from distill.data.checks import thin_dev
    from distill.scoring.answers import OUT_OF_FOLD
    from distill.scoring.baseline import Yardstick
    from distill.training.following import check_callbacks, follow
    from distill.training.run_writer import RunStart, claim_run
    from student.control import Beside, run_control_experiment
    from student.train import DistillationTargets, fit_student
    from student.verdict import DistillationVerdict
    from teacher.teachers import Teachers, of_unlabelled

    if not config.out_of_fold:
        step = "--set student.out_of_fold=true rests them on train, where the teacher has folds (teacher.folds=5)"
        for line in thin_dev(splits, step):
            warn(line)
    teachers = Teachers.open(sources, splits.labels)
    extra = _with_unlabelled(splits, unlabelled).unlabelled
    teachers.introduce(config.distill, splits, extra)
    extra = teachers.taught(extra)
    folds = []
    if config.out_of_fold or config.distill.held_out:
        folds = teachers.folds(splits.train, extra if config.out_of_fold else [])
    depends_on = teachers.depends_on() | of_unlabelled(extra, folds, len(splits.train))
    start, heard = RunStart("student", config, splits, depends_on), check_callbacks(callbacks)
    with using_device(device), claim_run(folder, start, resume, overwrite) as is_unfinished:
        if not is_unfinished:
            return _finished(folder, with_control)
        targets = DistillationTargets(teachers.soft_targets([*splits.train, *extra]), folds, extra)
        targets = targets.held_out() if config.distill.held_out else targets
        names = [OUT_OF_FOLD] if config.out_of_fold else ["dev", splits.measured() if with_control else "dev"]
        rivals = baselines(baseline, folder, splits, names, margin)
        judged = Yardstick(margin, rivals.get(names[-1]))
        beside = Beside(teachers.soft_targets, teachers.thresholds(), judged)

        with follow(folder, start, resume, trackers, heard) as run:

            def run_control() -> DistillationVerdict:
                return run_control_experiment(config, splits, targets, beside, seeds, run.child("training"))

            experiment = run_control if with_control else None
            return fit_student(config, splits, targets, run, experiment, rivals.get(names[0]))


@recorded
@translates_os_errors
def search_student(
    data: PathLike,
    out: PathLike,
    *,
    teacher: PathLike | Sequence[PathLike] | None = None,
    teacher_answers: PathLike | None = None,
    answers_are: Scale | None = None,
    ladder: PathLike | None = None,
    tries: Mapping[str, Mapping[str, Any]] | None = None,
    max_ms: float | None = None,
    max_mb: float | None = None,
    max_f1_drop: float = MARGIN,
    threads: int = 1,
    jobs: int = 1,
    recipe: PathLike | None = None,
    overrides: Overrides = None,
    resume: bool = False,
    overwrite: bool = False,
    device: Device | None = None,
    columns: ColumnsLike = None,
    report_to: ReportTo = None,
    one_label: bool = False,
    unlabelled: PathLike | None = None,
) -> distill.SearchReport:
    """Search for the cheapest student that is not worse than the best by more than `max_f1_drop`, and write to
    `out` all that was tried, with the recommended one trained and exported.

    Candidates come from the TOML file `ladder` and from `tries`, settings by the name of a family, in which a list
    stands for each of its values: {"bert": {"student.text.layers": [6, 3, 1]}}; without either, from the recipe.
    What takes more than `max_ms` milliseconds a post on so many `threads`, or `max_mb` on disk, is out before any
    training. `jobs` processes train candidates beside each other. The teacher needs folds; it and the other
    arguments are those of `train_student`. Raises RecipeError, DataError, BackboneError, RunError, BenchError and
    OutputError."""
    require_own("student", "teacher", "export", "bench")
    check_integer("threads", threads, 1)
    check_integer("jobs", jobs, 1)
    for name, limit in (("max_ms", max_ms), ("max_mb", max_mb)):
        if limit is not None and not limit > 0:
            raise ArgumentError(f"{name} must be above 0; got {limit!r}")
    if not 0 < max_f1_drop < 1:
        raise ArgumentError(f"max_f1_drop must be between 0 and 1, such as 0.01; got {max_f1_drop!r}")
    sources = TeacherSources.of(teacher, teacher_answers, answers_are)
    file = None if ladder is None else to_path("ladder", ladder)
    folder = _output(out, data, *sources.paths(), *_given(ladder=ladder, unlabelled=unlabelled))
    settings = _recipe(
        *(recipe, overrides, "student", "export"), one_label=one_label, varied=True, unread=IN_SEARCH
    )
    trackers = _trackers(report_to, settings)
    splits = read_by_recipe(data, settings, columns, next(iter(sources.runs), None))
    splits = _with_unlabelled(splits, unlabelled)
    from bench.search.run import SearchOptions, run_search
    from student.search.report import Limits

    families = {name: dict(family) for name, family in (tries or {}).items()}
    limits = Limits(max_ms, max_mb)
    options = SearchOptions(folder, file, families, limits, max_f1_drop, threads, jobs, resume, overwrite, trackers)
    with using_device(device):
        return run_search(options, sources, settings, splits)


@recorded
@translates_os_errors
def finetune_int8(
    student: PathLike,
    data: PathLike,
    out: PathLike,
    *,
    teacher: PathLike | Sequence[PathLike] | None = None,
    teacher_answers: PathLike | None = None,
    answers_are: Scale | None = None,
    target: CpuTarget | None = None,
    recipe: PathLike | None = None,
    overrides: Overrides = None,
    resume: bool = False,
    overwrite: bool = False,
    device: Device | None = None,
    columns: ColumnsLike = None,
    report_to: ReportTo = None,
    callbacks: Callbacks = (),
) -> distill.Checkpoint:
    """Train a student's run on in int8 arithmetic, for a `target` processor (this one by default), into `out`.

    Its teachers, `report_to` and `callbacks` are those of `train_student`. Raises RecipeError, DataError, RunError
    and OutputError.
    """
    require_own("student", "teacher")
    limit = weight_limit(_target(target))
    sources = TeacherSources.of(teacher, teacher_answers, answers_are)
    folder = _output(out, data, student, *sources.paths())
    settings = _recipe(recipe, overrides, "finetune")
    trackers = _trackers(report_to, settings)
    config, splits = settings.finetune, read_by_recipe(data, settings, columns, student)
    from distill.model.checkpoint import Checkpoint
    from distill.training.following import check_callbacks, follow
    from distill.training.run_writer import RunStart, claim_run
    from student.finetune import finetune_student, settings_of
    from student.train import DistillationTargets
    from teacher.teachers import Teachers

    before = Checkpoint.load(to_path("student", student))
    teachers = Teachers.open(sources, splits.labels)
    teachers.introduce(settings_of(before).distill, splits)
    depends_on = {
        "student": before.sha256,
        **teachers.depends_on(),
        "weight_limit": limit,
        "finetune": [config.epochs, config.learning_rate, *([] if config.seed is None else [config.seed])],
    }
    start, heard = RunStart("student", before.classifier.config, splits, depends_on), check_callbacks(callbacks)
    with using_device(device), claim_run(folder, start, resume, overwrite) as is_unfinished:
        if not is_unfinished:
            return _finished(folder)
        targets = DistillationTargets(teachers.soft_targets(splits.train))
        with follow(folder, start, resume, trackers, heard) as run:
            return finetune_student(before, config, splits, targets, limit, run)


@translates_os_errors
def export(
    student: PathLike,
    data: PathLike,
    out: PathLike,
    *,
    precision: Precision = "fp32",
    target: CpuTarget | None = None,
    embed: bool = False,
    overwrite: bool = False,
    runtime: Runtime = "onnxruntime",
    recipe: PathLike | None = None,
    overrides: Overrides = None,
    columns: ColumnsLike = None,
    baseline: PathLike | None = None,
    margin: float = MARGIN,
) -> Bundle:
    """Export a run to a Bundle at `out`; its fp32 parent is written beside an int8 or int4 one, as OUT-fp32.

    `runtime` is what the Bundle is for: onnxruntime, onnxruntime-mobile, openvino (with NNCF's int8) or litert.
    What is there already is refused unless it is to `overwrite`. The card compares it with a `baseline` by a
    `margin`, which are those of `train_teacher`. Raises RecipeError, DataError, RunError, BundleError, ExportError,
    ParityError, OutputError, and InstallError for a package that the runtime needs.
    """
    require_own("export")
    check_margin(margin)
    check_choice("precision", precision, get_args(Precision))
    check_choice("runtime", runtime, RUNTIMES)
    request_target, folder = _target(target), _output(out, data, student)
    refuse_working_directory(folder)
    settings = _recipe(recipe, overrides, "export", unread=unread_in_export(precision, runtime))
    config, splits = settings.export, read_by_recipe(data, settings, columns, student)
    from distill.core.output.terminal import note
    from distill.model.checkpoint import Checkpoint
    from export.pipeline import ExportRequest, export_run

    request = ExportRequest(precision, request_target, folder, embed, overwrite, runtime)
    run = to_path("student", student)
    rivals = baselines(baseline, run, splits, ["dev"], margin)
    bundles = export_run(Checkpoint.load(run), splits, config, request, rivals.get("dev"))
    for bundle in bundles:
        note(f"{bundle.precision} Bundle in {bundle.folder}, {bundle.size_bytes() / 1e6:.1f} MB")
    return bundles[-1]


@translates_os_errors
def evaluate(
    model: PathLike,
    data: PathLike,
    *,
    split: str | None = None,
    out: PathLike | None = None,
    overwrite: bool = False,
    columns: ColumnsLike = None,
    provider: Provider = "cpu",
    runtime: Runtime | None = None,
    baseline: PathLike | None = None,
    margin: float = MARGIN,
) -> distill.SplitEvaluation:
    """F1 with intervals of a run or a Bundle on a split (test if it has labels, else dev), also written to `out` as
    JSON if that is given.

    `provider` and `runtime` open a Bundle as in `distill.load`; `baseline` and `margin` are those of
    `train_teacher`. Raises DataError, RunError, BundleError, BenchError, InstallError and OutputError.
    """
    require_own("bench")
    check_margin(margin)
    if out is not None:
        refuse_overwriting(to_path("out", out), to_path("data", data), to_path("model", model))
        refuse_existing(to_path("out", out), overwrite)
    splits = read_dataset(data, model, columns)
    from bench.quality import evaluate as evaluating
    from bench.quality.baseline import answers_beside
    from bench.quality.eval_set import EvalSet
    from bench.runtimes.open_model import open_variant, opened_otherwise
    from bench.runtimes.variants import variant_from_path
    from distill.preprocess.inputs import warn_of_cut_texts

    eval_set = EvalSet.from_splits(splits, split)
    variant = variant_from_path(to_path("model", model))
    if provider != "cpu" or runtime is not None:
        variant = opened_otherwise(variant, provider, runtime)
    opened = open_variant(variant)
    against = answers_beside(variant.folder, baseline, splits, eval_set, margin)
    evaluation = evaluating.evaluate(opened, eval_set, against)
    if out is not None:
        write_json(to_path("out", out), asdict(evaluation))
    evaluating.show(evaluation, eval_set)
    warn_of_cut_texts(eval_set.split, opened.preprocessor, [example.text for example in eval_set.examples])
    return evaluation


def baselines(
    asked: PathLike | None, model: Path, splits: distill.Splits, names: Sequence[str], margin: float
) -> dict[str, BaselineAnswers]:
    """What the baseline of a model at `model` answers on these parts of the data; empty where there is none. Raises
    RunError for one that is asked for and cannot answer."""
    from distill.core.output.terminal import note
    from distill.runtime.baseline import find_baseline
    from distill.training.baseline import Baseline

    folder = find_baseline(asked, model, splits)
    if folder is None:
        return {}
    try:
        baseline = Baseline(folder, margin)
        return {name: baseline.answers(name, splits) for name in dict.fromkeys(names)}
    except DistillError as error:
        if asked is not None:
            raise
        note(f"{error}; it is not compared with")
        return {}


@translates_os_errors
def select(
    unlabelled: PathLike,
    model: PathLike,
    out: PathLike,
    *,
    n: int = 100,
    per_label: int | None = None,
    data: PathLike | None = None,
    split: str | None = None,
    recursive: bool = False,
    seed: int = 13,
    overwrite: bool = False,
    columns: ColumnsLike = None,
    provider: Provider = "cpu",
    runtime: Runtime | None = None,
) -> distill.Selection:
    """Choose `n` posts of `unlabelled` that are worth labelling next, and write them to `out` with a reason each.

    `model` is a run or a Bundle. `per_label` posts are chosen for each label alone (None: all, divided among the
    labels).
    Posts that carry a label, that a run has learned from, that are nearly equal to a row of the labelled dataset
    `data`, or to another post, are left out. `split`, `recursive` and `columns` say what of `unlabelled` is read
    and how; `provider` and `runtime` open a Bundle as in `distill.load`. Raises DataError, RunError, BundleError,
    InstallError and OutputError.
    """
    from distill.core.extras import require
    from distill.data.roles import Ask
    from distill.data.sources import Source
    from distill.data.write_rows import check_suffix, write_rows
    from distill.runtime.bundle import columns_of, is_bundle, labels_of
    from distill.runtime.hub_dataset import resolve_dataset
    from distill.runtime.opened import RunOptions

    file, folder = to_path("out", out), to_path("model", model)
    check_integer("n", n, 1)
    refuse_overwriting(file, *(to_path("inputs", path) for path in (unlabelled, model, data) if path is not None))
    refuse_existing(file, overwrite)
    check_suffix(file)
    require("sklearn", "distill select")
    labels = labels_of(folder)
    share = n // len(labels) if per_label is None else per_label
    check_integer("per_label", share, 0)
    if share * len(labels) > n:
        raise ArgumentError(f"per_label {share} for {len(labels)} labels are more posts than n, {n}; raise n")
    if not is_bundle(folder) and (provider != "cpu" or runtime is not None):
        raise ArgumentError(f"{folder}: is a training run; provider and runtime are for Bundles")
    ask = Ask(Columns.of(columns), columns_of(folder), wants_labels=False)
    path = resolve_dataset(os.fspath(to_path("unlabelled", unlabelled)))
    source = Source.of_split(path, split, ask) if split else Source.open(path, ask, recursive)
    from distill.data.posts import read_posts
    from distill.training.selection.report import show
    from distill.training.selection.rule import Rule
    from distill.training.selection.select import rows_of, select_posts

    posts, failed = read_posts(source, labels)
    splits = None if data is None else read_dataset(data, folder)
    labelled = [] if splits is None else [*splits.train, *splits.dev, *splits.test]
    options = RunOptions(provider=provider, runtime=runtime)
    selection, chosen = select_posts(posts, folder, labelled, n, Rule(share, seed=seed), options)
    selection = selection.with_unread(failed)
    write_rows(rows_of(selection, chosen, file), file)
    show(selection, source, n)
    return selection


def _recipe(
    path: PathLike | None, overrides: Overrides, *reads: str, one_label: bool = False, **how: Any
) -> Recipe:
    """As `Recipe.load`, which takes `how`."""
    from distill.core.settings.recipe import Recipe

    recipe = Recipe.load(None if path is None else to_path("recipe", path), overrides or (), reads, **how)
    return replace(recipe, labels=replace(recipe.labels, one_label=True)) if one_label else recipe


def _trackers(report_to: ReportTo, settings: Recipe) -> tuple[str, ...]:
    from distill.core.tracking import choose_trackers

    return choose_trackers(report_to, settings.tracking.report_to)


def _output(out: PathLike, *inputs: PathLike) -> Path:
    """The folder to write to. Raises OutputError if one of the inputs is there."""
    folder = to_path("out", out)
    refuse_overwriting(folder, *(to_path("data, student or teacher", path) for path in inputs))
    return folder


def _given(**inputs: PathLike | None) -> list[Path]:
    """The inputs that are given, by the names of their arguments. Raises ArgumentError for what is no path."""
    return [to_path(name, path) for name, path in inputs.items() if path is not None]


def _with_unlabelled(splits: distill.Splits, unlabelled: PathLike | None) -> distill.Splits:
    from distill.data.unlabelled import with_unlabelled

    return with_unlabelled(splits, None if unlabelled is None else to_path("unlabelled", unlabelled))


def _answered(folds: bool, splits: distill.Splits) -> dict[str, Any]:
    """What the folds of a teacher depend on: the unlabelled examples that they answer."""
    from teacher.teachers import of_unlabelled

    return of_unlabelled(splits.unlabelled) if folds and splits.unlabelled else {}


def _target(target: CpuTarget | None) -> CpuTarget:
    """The processor to quantise for: this one unless it is named."""
    if target is None:
        return detect_target()
    check_choice("target", target, TARGETS)
    return target


def _finished(run: Path, with_control: bool = False) -> Checkpoint:
    """Open a run that was resumed and is finished. Raises RunError if it lacks the control that is asked for."""
    from distill.core.output.terminal import note
    from distill.data.run_folder import METRICS
    from distill.model.checkpoint import Checkpoint

    if with_control and "distillation" not in read_json(run / METRICS, RunError):
        raise RunError(
            f"{run}: this run is finished, and without a control; start over with overwrite to train one"
        )
    note(f"{run}: this run is finished already")
    return Checkpoint.load(run)
