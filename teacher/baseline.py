"""Baselines that cost no training: logistic regressions on n-grams and on the features of frozen encoders.

All are compared out of fold on the training split, and the one that is wanted becomes a run like a teacher's: it
can be exported, taught from and compared with.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.table import Table

from distill.core.errors import BackboneError, DataError, InstallError, RecipeError, RunError
from distill.core.output.terminal import note
from distill.core.settings.model_config import STATIC, Augment, Focal
from distill.core.settings.recipe import Asymmetric, TeacherConfig
from distill.core.settings.schema import build_dataclass
from distill.core.settings.unread import ONLY_TRAINING
from distill.core.storage.files import read_json, write_json
from distill.data.dataset import Splits
from distill.data.run_folder import BASELINES
from distill.model.checkpoint import Checkpoint
from distill.model.distributed import on_first_process
from distill.model.encoders.text import NoText
from distill.model.network import TwoTowerNetwork
from distill.preprocess.text import has_text as has_words
from distill.preprocess.text import load_tokenizer, vocabulary_size
from distill.scoring.metrics import macro_ap, micro_ap
from distill.training.folds import Folds, predict_out_of_fold
from distill.training.trainer import CheckpointFolder, TrainingData
from teacher.compare import FOLD_SEED, RecipeComparison, RecipePredictions, evaluate_recipes, table_of
from teacher.losses import teacher_loss
from teacher.train import UntrainedTeacher, fit_prepared, prepare_teacher


@dataclass(frozen=True)
class Part:
    """The n-grams and the modalities that a baseline reads; a `static` one has static vectors of the text encoder's
    tokens in the encoder's place."""

    ngrams: Literal["off", "add", "only"]
    modalities: Literal["both", "text", "image"]
    static: bool = False


PARTS = {
    "n-grams": Part("only", "text"),
    "text": Part("off", "text"),
    "image": Part("off", "image"),
    "text + image": Part("off", "both"),
    "text + image + n-grams": Part("add", "both"),
    "static": Part("off", "text", static=True),
    "static + image": Part("off", "both", static=True),
    "static + image + n-grams": Part("add", "both", static=True),
}
TIMED_POSTS = 20
FIXED = (  # settings that `_probe_config` has of its own
    *("text.trainable", "text.ngrams", "image.trainable", "head.fusion", "head.modalities", "head.hidden_size"),
    *("head_start", "loss", "class_weights", "epochs"),
)


@dataclass(frozen=True)
class Cost:
    """What one answer takes in PyTorch, the median in ms of one post at a time from token ids and pixels, and the
    bytes of the fp32 weights that it reads."""

    latency_ms: float
    size_bytes: int


@dataclass(frozen=True)
class Baselines:
    """All baselines, compared with the `chosen` one, and what each costs."""

    comparison: RecipeComparison
    costs: dict[str, Cost]
    chosen: str
    torch_threads: int

    def to_json(self) -> dict[str, Any]:
        """The content of baselines.json."""
        return asdict(self)

    @classmethod
    def read(cls, folder: Path) -> Baselines:
        """What `fit_baselines` wrote into a run's folder. Raises RunError."""
        return build_dataclass(cls, read_json(folder / BASELINES, RunError), str(folder / BASELINES))


def fit_baselines(
    config: TeacherConfig, splits: Splits, run: CheckpointFolder, use: str | None
) -> tuple[Baselines, Checkpoint]:
    """Compare all baselines in `config.folds` folds (5 where it has none) and write the run of the one that `use`
    names, or else of the one with the best mean of micro- and macro-AP, with baselines.json beside it.

    Baselines of images or texts are left out where no training example has one; `check_use` refuses such a `use`
    before. Static ones are left out, with a note, where their vectors cannot be made, unless `use` names one.
    Raises as `teacher.train.prepare_teacher`.
    """
    folds = config.folds or 5
    parts = _parts_of(config, splits)
    whole = prepare_teacher(_probe_config(config, Part("add", "both"), folds), splits)
    whole.classifier.warn_of_texts(splits)
    static = None
    if any(part.static for part in parts.values()):
        static = _prepare_static(whole, splits, is_wanted=use is not None and parts[use].static)
    teachers = {
        name: _part(source, part)
        for name, part in parts.items()
        if (source := static if part.static else whole) is not None
    }
    predictions = {name: _predict(name, each, folds, run) for name, each in teachers.items()}
    targets = whole.targets
    quality = {
        name: micro_ap(targets, each.probabilities[0]) + macro_ap(targets, each.probabilities[0])
        for name, each in predictions.items()
    }
    chosen = use or max(quality, key=lambda name: quality[name])
    order = sorted(teachers, key=lambda name: name != chosen)  # the first is what the others are compared with
    comparison = evaluate_recipes(
        {name: teachers[name].classifier.config for name in order},  # type: ignore[misc]
        {name: predictions[name] for name in order},
        splits,
        folds,
    )
    costs = {name: _cost(each) for name, each in teachers.items()}
    baselines = Baselines(comparison, costs, chosen, torch.get_num_threads())
    on_first_process(write_json)(run.folder / BASELINES, baselines.to_json())
    note(f"writing {chosen!r} as a run")
    teacher = teachers[chosen]
    return baselines, fit_prepared(teacher, splits, run)


def check_use(config: TeacherConfig, splits: Splits, use: str | None) -> None:
    """Raise DataError for a baseline of what no training example has, and RecipeError for encoders without
    pretrained weights, and for a static one where the text encoder itself is static."""
    if not (config.text.pretrained and config.image.pretrained):
        raise RecipeError("a baseline reads pretrained encoders; set teacher.text.model and teacher.image.model")
    if use is None or use in (parts := _parts_of(config, splits)):
        return
    if PARTS[use].static and config.text.static:
        own = use.replace("static", "text")
        raise RecipeError(
            f'--use {use}: teacher.text.model={config.text.model} is static itself; give --use "{own}"'
        )
    raise DataError(f"--use {use}: no training example has what it reads; choose {', '.join(parts)}")


def unread_settings() -> dict[str, str]:
    """The keys of a recipe's teacher that a baseline sets itself or does not read, and why."""
    groups = {"focal": Focal, "asymmetric": Asymmetric, "augment": Augment}
    keys = [f"{name}.{field.name}" for name, group in groups.items() for field in fields(group)]
    why = "a baseline fits a head to frozen features once; --use says of which"
    return {f"teacher.{key}": why for key in (*FIXED, *ONLY_TRAINING, *keys)}


def _parts_of(config: TeacherConfig, splits: Splits) -> dict[str, Part]:
    """The baselines that read what the training examples have."""
    has_text = any(has_words(example.text) for example in splits.train)
    has_image = any(example.image is not None for example in splits.train)
    is_there = {"text": has_text, "image": has_image, "both": has_text and has_image}
    return {
        name: part
        for name, part in PARTS.items()
        if is_there[part.modalities] and not (part.static and config.text.static)
    }


def _prepare_static(whole: UntrainedTeacher, splits: Splits, is_wanted: bool) -> UntrainedTeacher | None:
    """The `whole` with static vectors of its text encoder's tokens; None, and a note, where they cannot be made,
    unless they are wanted."""
    text = whole.config.text
    static = replace(text, model=STATIC + text.model, layers=0, pooling="mean")
    try:
        return prepare_teacher(replace(whole.config, text=static), splits)
    except (InstallError, BackboneError) as error:
        if is_wanted:
            raise
        note(f"without static baselines: {error}")
        return None


def _probe_config(config: TeacherConfig, part: Part, folds: int) -> TeacherConfig:
    text = replace(config.text, trainable=False, ngrams=part.ngrams)
    return replace(
        config,
        text=replace(text, layers=0, vocab_size=0) if part.ngrams == "only" else text,
        image=replace(config.image, trainable=False),
        head=replace(config.head, fusion="concat", modalities=part.modalities, hidden_size=0),
        augment=replace(config.augment, word_edit_rate=0.0, token_mask_rate=0.0, image_strength=0.0),
        head_start="probe",
        loss="focal",
        class_weights="none",
        epochs=0,
        folds=folds,
    )


def _part(whole: UntrainedTeacher, part: Part) -> UntrainedTeacher:
    """A baseline of some of the parts, with the encoders and features of the `whole`."""
    classifier, config = whole.classifier, whole.config
    own = _probe_config(config, part, config.folds)
    source = classifier.network
    text = NoText() if part.ngrams == "only" else source.text
    tokens = vocabulary_size(load_tokenizer(classifier.tokenizer_json, classifier.spec.text))
    network = TwoTowerNetwork(text, source.image, own, len(classifier.labels), tokens)
    if network.ngrams is not None and source.ngrams is not None:
        network.ngrams.load_state_dict(source.ngrams.state_dict())
    data = whole.data
    if part.ngrams == "only":
        data = TrainingData(
            *(replace(each, text_features=_no_features(len(each))) for each in (data.train, data.dev))
        )
    return UntrainedTeacher(replace(classifier, config=own, network=network), data)


def _no_features(rows: int) -> Any:
    return np.zeros((rows, 0), dtype=np.float32)


def _predict(name: str, teacher: UntrainedTeacher, folds: int, run: CheckpointFolder) -> RecipePredictions:
    note(f"baseline {name}")
    started = time.perf_counter()
    parts = Folds.stratified(teacher.data, folds, FOLD_SEED)
    make_loss = partial(teacher_loss, teacher.config, teacher.targets, teacher.classifier.labels.group_columns)
    checkpoints = run.child("training").child(name)
    out_of_fold = predict_out_of_fold(teacher.classifier, parts, make_loss, checkpoints)
    seconds = (time.perf_counter() - started) / folds
    return RecipePredictions([out_of_fold.probabilities.both], out_of_fold.epochs, seconds)


def _cost(teacher: UntrainedTeacher) -> Cost:
    """Measured on the first training examples, each from its tokens and the pixels of a grey image."""
    classifier, train = teacher.classifier, teacher.data.train
    network, size = classifier.network.cpu().eval(), classifier.spec.image.size
    pixels = torch.zeros(1, 3, size, size)
    times = []
    with torch.inference_mode():
        for row in range(min(TIMED_POSTS, len(train))):
            ids = torch.tensor([train.token_ids[row]])
            started = time.perf_counter()
            network(ids, torch.ones_like(ids), pixels, torch.ones(1, 2))
            times.append(1000 * (time.perf_counter() - started))
    weights = [p for name, p in network.named_parameters() if not network.leaves_out(name)]
    return Cost(float(np.median(times)), sum(4 * p.numel() for p in weights))


def baseline_table(baselines: Baselines) -> Table:
    """For the terminal: quality out of fold with its difference from the chosen baseline, and what it costs."""
    c, costs = baselines.comparison, baselines.costs
    title = (
        f"Logistic regression on frozen features, out of fold on {c.examples} examples, {c.folds} folds; "
        f"chosen: {baselines.chosen}, by the mean of micro- and macro-AP unless it was named"
    )
    more = {
        "ms": {name: f"{cost.latency_ms:.2f}" for name, cost in costs.items()},
        "MB": {name: f"{cost.size_bytes / 1e6:.1f}" for name, cost in costs.items()},
    }
    return table_of(c, title, "chosen", more)
