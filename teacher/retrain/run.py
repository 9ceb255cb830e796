"""Retraining: train a teacher further on new data, measure the drift, and decide whether to promote the new run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from distill.core.errors import RecipeError, RunError
from distill.core.output.terminal import note, output, warn
from distill.core.settings.columns import Columns
from distill.core.settings.recipe import TeacherConfig, asked_keys, override_config
from distill.core.settings.unread import find_unread, warn_of_unread
from distill.data import lineage
from distill.data.checks import check_splits, refuse_unknown_labels
from distill.data.dataset import Example, encode_targets
from distill.data.lineage import Lineage
from distill.data.roles import Ask
from distill.data.run_folder import read_run_columns
from distill.model.checkpoint import Checkpoint
from distill.training.following import follow
from distill.training.run_writer import RunStart, claim_run
from teacher.retrain.datasets import RetrainData, comparison_cautions, read_retrain_data
from teacher.retrain.drift import measure_drift
from teacher.retrain.promotion import Promotion, RunPredictions, decide_promotion
from teacher.retrain.report import RetrainReport, f1_table, show_drift, write_report
from teacher.train import fit_teacher

FIXED = ("text", "image", "head")  # settings that the weights depend on
HEAD_START = "teacher.head_start"


@dataclass(frozen=True)
class RetrainOptions:
    """What a user asks for: `run` is the earlier teacher's folder, `earlier` more data to learn from, or None."""

    run: Path
    data: Path
    test: Path
    earlier: Path | None
    out: Path
    overrides: tuple[str, ...]
    max_f1_drop: float
    resume: bool
    overwrite: bool
    columns: Columns = field(default_factory=Columns)
    report_to: tuple[str, ...] = ()


def retrain_teacher(options: RetrainOptions) -> Promotion:
    """Train from the weights of `options.run` on the new data, compare both runs on the fixed test set, and write
    the new run with the report to `options.out`; the earlier run is not changed.

    Raises DataError for leaks between the data, RecipeError for a setting that the weights do not fit, and RunError
    for a run that is not a teacher.
    """
    old = Checkpoint.load(options.run)
    labels, seen = old.classifier.labels, lineage.read_lineage(options.run)
    config = retrain_config(old, options.overrides)
    ask = Ask(options.columns, read_run_columns(options.run), labels)
    data = read_retrain_data(options.data, options.earlier, options.test, ask, seen)
    splits = data.splits
    _refuse_folds(config, data, seen)
    for line in (*check_splits(splits, options.run), *comparison_cautions(splits, seen)):
        warn(line)
    refuse_unknown_labels([("reference", example) for example in data.reference], labels, options.run)
    sizes = f"{len(splits.train)} train, {len(splits.dev)} dev, {len(splits.test)} fixed test examples"
    note(f"{options.data}: {sizes}; {len(data.fresh)} are new; {len(labels)} labels")
    start = RunStart("teacher", config, splits, lineage.retrain_record(seen, old.sha256, splits.test))
    with claim_run(options.out, start, options.resume, options.overwrite) as is_unfinished:
        old_predictions = _predict(old, splits.test)  # before training changes the weights
        new_examples = measure_drift(old, data, seen)
        if is_unfinished:
            with follow(options.out, start, options.resume, options.report_to) as run:
                # From the head that it has, which a probe would be fitted in place of.
                goes_on = replace(config, head_start="random") if config.epochs else config
                new = fit_teacher(goes_on, splits, run, replace(old.classifier, config=goes_on))
        else:
            note(f"{options.out}: this run is finished already; it is judged again")
            new = Checkpoint.load(options.out)
        targets = encode_targets(splits.test, labels)
        new_predictions = _predict(new, splits.test)
        promotion = decide_promotion(
            targets, old_predictions, new_predictions, config.threshold_objective, options.max_f1_drop
        )
        write_report(options.out, RetrainReport(options.run, old.sha256, new.sha256, promotion, new_examples))
    show_drift(new_examples)
    output.print(f1_table(promotion))
    return promotion


def retrain_config(old: Checkpoint, overrides: tuple[str, ...]) -> TeacherConfig:
    """The earlier run's recipe, overridden. Raises RunError for a student, RecipeError for a setting in FIXED."""
    config = old.classifier.config
    if not isinstance(config, TeacherConfig):
        raise RunError(f"{old.folder}: is a student; retrain its teacher, then distill a student from that")
    new = override_config(config, overrides, "teacher")
    for name in FIXED:
        if getattr(new, name) != getattr(config, name):
            raise RecipeError(f"teacher.{name}: cannot be changed, the weights of {old.folder} are made for it")
    goes_on = {HEAD_START: "a training goes on from the head that it has"} if new.epochs else {}
    warn_of_unread(find_unread(asked_keys(overrides), ["teacher"], {"teacher": new}, goes_on))
    return new


def _refuse_folds(config: TeacherConfig, data: RetrainData, seen: Lineage) -> None:
    count = sum(seen.trained_on(data.splits.train))
    if config.folds and count:
        raise RecipeError(
            f"teacher.folds={config.folds}: the weights to start from have seen {count} of the training examples, "
            "so no answer to these would be out of fold; --set teacher.folds=0"
        )


def _predict(run: Checkpoint, examples: list[Example]) -> RunPredictions:
    probabilities = run.probabilities(examples)
    return RunPredictions(probabilities, run.thresholds.apply(probabilities), run.thresholds.groups)
