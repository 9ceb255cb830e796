"""Training a teacher on with new data, and whether it takes the old one's place. Knows the order of things."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from distill.core.errors import RecipeError, RunError
from distill.core.recipe import TeacherConfig, override_config
from distill.core.terminal import note, output, warn
from distill.data import lineage
from distill.data.checks import check_splits, refuse_unknown_labels
from distill.data.dataset import Example
from distill.data.lineage import Lineage
from distill.model.checkpoint import Checkpoint
from distill.scoring.metrics import sigmoid
from distill.training.run import RunStart, begin
from distill.training.trainer import Workspace
from teacher.retrain import report
from teacher.retrain.datasets import Incoming, cautions, read_incoming
from teacher.retrain.drift import look
from teacher.retrain.promotion import Outputs, Promotion, judge
from teacher.train import train

FIXED = ("text", "image", "head")  # of a recipe: what the weights were made for


@dataclass(frozen=True)
class Order:
    """What a user asks for: `run` is the earlier teacher's folder, `earlier` its data or None."""

    run: Path
    data: Path
    test: Path
    earlier: Path | None
    out: Path
    overrides: tuple[str, ...]
    max_f1_drop: float
    resume: bool
    overwrite: bool


def retrain(order: Order) -> Promotion:
    """Train from the weights of `order.run` on the new data, judge both runs on the fixed test set, and write what
    came of it into the new run; nothing that stands elsewhere is changed.

    Raises DataError where the data would spoil the comparison, RecipeError for a setting that the weights do
    not fit, and RunError for a run that is no teacher.
    """
    old = Checkpoint.load(order.run)
    config, seen, labels = settings(old, order.overrides), lineage.read_lineage(order.run), old.classifier.labels
    data = read_incoming(order.data, order.earlier, order.test, labels, seen)
    splits = data.splits
    _refuse_folds(config, data, seen)
    for line in (*check_splits(splits, order.run), *cautions(splits, seen)):
        warn(line)
    refuse_unknown_labels([("reference", example) for example in data.reference], labels, order.run)
    sizes = f"{len(splits.train)} train, {len(splits.dev)} dev, {len(splits.test)} fixed test examples"
    note(f"{order.data}: {sizes}; {len(data.fresh)} are new; {len(labels)} labels")
    start = RunStart("teacher", config, splits, lineage.retrain_record(seen, old.sha256, splits.test))
    to_do = begin(order.out, start, order.resume, order.overwrite)
    before = _outputs(old, splits.test)  # of weights that training is about to change
    looked = look(old, data, seen)
    report.show_drift(looked)
    if to_do:
        run = Workspace(order.out, order.resume)
        new = train(config, splits, run, replace(old.classifier, config=config))
    else:
        note(f"{order.out}: this run is finished already; it is judged again")
        new = Checkpoint.load(order.out)
    targets = labels.encode([example.labels for example in splits.test])
    promotion = judge(targets, before, _outputs(new, splits.test), config.threshold_objective, order.max_f1_drop)
    report.write(order.out, report.Report(order.run, old.sha256, new.sha256, promotion, looked))
    output.print(report.f1_table(promotion))
    return promotion


def settings(old: Checkpoint, overrides: tuple[str, ...]) -> TeacherConfig:
    """The earlier run's own recipe, with changes. Raises RunError and RecipeError."""
    config = old.classifier.config
    if not isinstance(config, TeacherConfig):
        raise RunError(f"{old.folder}: is a student; retrain its teacher, then distill a student from that")
    new = override_config(config, overrides, "teacher")
    for name in FIXED:
        if getattr(new, name) != getattr(config, name):
            raise RecipeError(f"teacher.{name}: cannot be changed, the weights of {old.folder} are made for it")
    return new


def _refuse_folds(config: TeacherConfig, data: Incoming, seen: Lineage) -> None:
    known = sum(seen.trained_on(data.splits.train))
    if config.folds and known:
        raise RecipeError(
            f"teacher.folds={config.folds}: the weights to start from have seen {known} of the training examples, "
            "so no answer to these would be out of fold; --set teacher.folds=0"
        )


def _outputs(run: Checkpoint, examples: list[Example]) -> Outputs:
    probabilities = sigmoid(run.logits(examples))
    return Outputs(probabilities, run.thresholds.apply(probabilities))
