"""A search for a teacher's learning rate, batch size and loss. Knows Optuna and what is searched, no training.

What is not searched: `objective`, which the thresholds maximise and every trial is measured in. Values in two
different units cannot be compared, and a search over units would end at the kindest of them.

The study is a journal, one line an event, appended and synced: a kill costs its last line at the most, which is
cut off when the journal is opened again. SQLite would be as safe, for a database's worth of packages and locks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from distill.core.errors import RunError
from distill.core.recipe import TeacherConfig
from distill.core.terminal import note, warn
from distill.model.scratch import CNN, LSTM

Value = float | int | str
Values = dict[str, Value]  # by the recipe's keys, without "teacher."
Judge = Callable[[TeacherConfig], Iterator[float]]  # yields the value on the rows of the folds so far, fold by fold
State = Literal["complete", "pruned", "failed"]

RATES = {"learning_rate": (5e-6, 1e-4), "head_learning_rate": (5e-5, 5e-3)}  # one of them; on a logarithmic scale
BATCHES = (8, 16, 32)
LOSSES = ("focal", "asymmetric")
LOSS_RANGES = {
    "focal.gamma": (0.0, 4.0),
    "focal.alpha": (0.1, 0.9),
    "asymmetric.gamma_positive": (0.0, 2.0),
    "asymmetric.gamma_negative": (1.0, 6.0),
}
STARTUP = 5  # trials at random, and whole ones before any is pruned: a median of fewer says little
JOURNAL = "study.journal"
FAULT = "fault"


@dataclass(frozen=True)
class Tried:
    """One trial, numbered from 1. `by_fold` holds the value after each fold, on the rows of the folds so far;
    `value` is the last of them when all are there. A failed one has a `fault`, such as a loss that became nan."""

    number: int
    state: State
    value: float | None
    by_fold: tuple[float, ...]
    values: Values
    seconds: float
    fault: str


def rate_of(base: TeacherConfig) -> str:
    """The rate that is searched: that of pretrained encoders, or the other where nothing pretrained is trained."""
    text = base.head.modalities != "image" and base.text.model != LSTM
    image = base.head.modalities != "text" and base.image.trainable and base.image.model != CNN
    return "learning_rate" if text or image else "head_learning_rate"


def space(base: TeacherConfig) -> dict[str, list[Value]]:
    """What is searched, as ranges or choices: the alphas of class_weights=focal_alpha come from counts, and are for
    the focal loss alone."""
    counted = base.class_weights == "focal_alpha"
    ranges: dict[str, list[Value]] = {
        key: list(ends)
        for key, ends in LOSS_RANGES.items()
        if not counted or (key.startswith("focal.") and key != "focal.alpha")
    }
    return {
        rate_of(base): [*RATES[rate_of(base)]],
        "batch_size": [*BATCHES],
        "loss": ["focal"] if counted else [*LOSSES],
        **ranges,
    }


def values_of(config: TeacherConfig) -> Values:
    """The searched values of a recipe; of the losses' own only those of the loss that it names."""
    values: Values = {
        rate_of(config): getattr(config, rate_of(config)),
        "batch_size": config.batch_size,
        "loss": config.loss,
    }
    for key in (key for key in space(config) if key.startswith(f"{config.loss}.")):
        values[key] = getattr(getattr(config, config.loss), key.partition(".")[2])
    return values


def with_values(base: TeacherConfig, values: Values) -> TeacherConfig:
    """The recipe with searched values in it, rounded to what a person would write. Raises RecipeError."""
    loss = str(values["loss"])
    own = {k.partition(".")[2]: round(float(v), 2) for k, v in values.items() if k.startswith(f"{loss}.")}
    rate = {rate_of(base): float(f"{values[rate_of(base)]:.3g}")}
    changes = {**rate, "batch_size": int(values["batch_size"]), "loss": loss}
    return replace(base, **changes, **{loss: replace(getattr(base, loss), **own)})  # type: ignore[arg-type]


def is_in_space(base: TeacherConfig) -> bool:
    """Whether the search could propose the recipe as it is."""
    for key, value in values_of(base).items():
        allowed = space(base)[key]
        inside = value in allowed if key in ("batch_size", "loss") else allowed[0] <= value <= allowed[1]  # type: ignore[operator]
        if not inside:
            return False
    return with_values(base, values_of(base)) == base


@dataclass(frozen=True)
class Budget:
    """How many `trials` in all, in how many `folds` each, and the `seed` of their choice."""

    trials: int
    folds: int
    seed: int


def search(
    base: TeacherConfig,
    judge: Judge,
    folder: Path,
    budget: Budget,
    after: Callable[[list[Tried]], None],
) -> list[Tried]:
    """Judge recipes until there are `budget.trials`; `after` is called with all of them when one more is done.

    The first is `base` itself where the space holds it. A study that was killed proposes what it would have
    proposed, and so ends as an unbroken one. Raises RunError.
    """
    study = _open(folder / JOURNAL)
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(left.number, state=TrialState.FAIL)
    found = tried(study)
    try:
        while len(found) < budget.trials:
            trial = _propose(study, base, budget.seed, len(found))
            config = with_values(base, _suggest(trial, base))
            note(f"trial {len(found) + 1} of {budget.trials}: {words(values_of(config))}")
            _judge(study, trial, judge(config), budget.folds)
            found = tried(study)
            after(found)
    except KeyboardInterrupt as stop:
        kept = (
            f"{len(found)} of {budget.trials} trials are kept in {folder}; the same command with --resume goes on"
        )
        raise KeyboardInterrupt(kept) from stop
    return found


def words(values: Values) -> str:
    """In one line, such as learning_rate=2e-05 batch_size=16."""
    return " ".join(f"{key}={value}" for key, value in values.items())


def best_of(found: list[Tried]) -> Tried:
    """The whole trial with the highest value, the earlier of two. Raises RunError when there is none."""
    whole = [one for one in found if one.value is not None]
    if not whole:
        first = found[0].fault if found else "there was none"
        raise RunError(f"none of {len(found)} trials gave a value; the first: {first}")
    return max(whole, key=lambda one: (one.value, -one.number))


def tried(study: optuna.Study) -> list[Tried]:
    """All trials that came to an end of their own. Those that were killed are not: they are tried again."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [_to_tried(number, trial) for number, trial in enumerate(ended, 1)]


def _to_tried(number: int, trial: optuna.trial.FrozenTrial) -> Tried:
    fault, whole = str(trial.user_attrs.get(FAULT, "")), trial.state == TrialState.COMPLETE
    state: State = "complete" if whole else "failed" if fault else "pruned"
    value = float(trial.value) if whole and trial.value is not None else None  # optuna has one for pruned ones too
    by_fold = tuple(float(v) for _, v in sorted(trial.intermediate_values.items()))
    seconds = 0.0 if trial.duration is None else float(trial.duration.total_seconds())
    return Tried(number, state, value, by_fold, dict(trial.params), seconds, fault)


def _open(journal: Path) -> optuna.Study:
    """The study in a journal, a new one where there is none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # what it has to say stands in our table
    journal.parent.mkdir(parents=True, exist_ok=True)
    lock = Path(f"{journal}.lock")
    lock.unlink(missing_ok=True)  # of a writer that was killed; a folder has one writer
    if journal.is_file():
        content = journal.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with journal.open("r+b") as handle:
                handle.truncate(whole)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
        return optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (ValueError, KeyError) as error:
        raise RunError(f"{journal}: damaged ({error}); start over with --overwrite") from error


def _propose(study: optuna.Study, base: TeacherConfig, seed: int, done: int) -> optuna.Trial:
    """The next trial. Its sampler's seed depends on how many are done, not on when this process began."""
    drawn = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=STARTUP)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if done == 0 and not waiting and is_in_space(base):
        study.enqueue_trial(dict(values_of(base)))
    return study.ask()


def _suggest(trial: optuna.Trial, base: TeacherConfig) -> Values:
    allowed, rate = space(base), rate_of(base)
    values: Values = {rate: trial.suggest_float(rate, *RATES[rate], log=True)}
    for key in ("batch_size", "loss"):
        choice: Any = trial.suggest_categorical(key, allowed[key])
        values[key] = choice
    for key in (key for key in allowed if key.startswith(f"{values['loss']}.")):
        values[key] = trial.suggest_float(key, *LOSS_RANGES[key])
    return values


def _judge(study: optuna.Study, trial: optuna.Trial, by_fold: Iterator[float], folds: int) -> None:
    """Run a trial to its end, to where the median of the others is better, or to its fault."""
    value = 0.0
    try:
        for fold, value in enumerate(by_fold, 1):
            trial.report(value, fold)
            if fold < folds and trial.should_prune():
                note(f"pruned after fold {fold}: {value:.3f} is below the median there")
                study.tell(trial, state=TrialState.PRUNED)
                return
    except RunError as error:  # told as pruned without a value, which the sampler takes for the worst there is
        warn(f"this trial failed: {error}")
        trial.set_user_attr(FAULT, str(error))
        study.tell(trial, state=TrialState.PRUNED)
        return
    study.tell(trial, value)
