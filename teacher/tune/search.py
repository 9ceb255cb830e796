"""The search for a teacher's learning rate, batch size and loss: Optuna's TPE sampler with median pruning.

`threshold_objective` is not searched: every trial is scored by the F1 that it names, and scores of different kinds
of F1 cannot be compared.

The study is a journal, one line an event, appended and synced: a killed process loses the last line at most, which
is cut off when the journal is opened again. SQLite would be as safe, and needs more packages and locks.
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
from distill.core.output.terminal import note, warn
from distill.core.settings.recipe import Recipe, TeacherConfig

Value = float | int | str
Values = dict[str, Value]  # by the recipe's keys, without "teacher."
Scores = Callable[[TeacherConfig], Iterator[float]]  # yields the score on the folds so far, after each fold
State = Literal["complete", "pruned", "failed"]

RATES = {"learning_rate": (5e-6, 1e-4), "head_learning_rate": (5e-5, 5e-3)}  # one of them; on a logarithmic scale
BATCH_SIZES = (8, 16, 32)
LOSSES = ("focal", "asymmetric")
LOSS_RANGES = {
    "focal.gamma": (0.0, 4.0),
    "focal.alpha": (0.1, 0.9),
    "asymmetric.gamma_positive": (0.0, 2.0),
    "asymmetric.gamma_negative": (1.0, 6.0),
}
STARTUP_TRIALS = 5  # random and never pruned: a median of fewer says little
JOURNAL = "study.journal"
FAULT = "fault"


@dataclass(frozen=True)
class SearchConfig:
    """The `recipe` that a search starts from, the number of `trials` in total, their `folds`, and the `seed` of the
    sampler."""

    recipe: Recipe
    trials: int
    folds: int
    seed: int

    @property
    def base(self) -> TeacherConfig:
        """The teacher that the search starts from."""
        return self.recipe.teacher


@dataclass(frozen=True)
class Trial:
    """One trial, numbered from 1. `by_fold` holds the score after each fold, on the rows of the folds so far;
    `value` is the last of them for a complete trial. A failed one has a `fault`, such as a loss that became nan."""

    number: int
    state: State
    value: float | None
    by_fold: tuple[float, ...]
    values: Values
    seconds: float
    fault: str


def rate_of(base: TeacherConfig) -> str:
    """The learning rate that is searched: that of pretrained encoders, or the head's if none of them is trained."""
    return "learning_rate" if base.fine_tunes else "head_learning_rate"


def search_space(base: TeacherConfig) -> dict[str, list[Value]]:
    """The range or the choices of every searched setting. class_weights="focal_alpha" takes its
    alphas from label counts and allows the focal loss alone, so that neither is searched."""
    from_counts = base.class_weights == "focal_alpha"
    ranges: dict[str, list[Value]] = {
        key: list(ends)
        for key, ends in LOSS_RANGES.items()
        if not from_counts or (key.startswith("focal.") and key != "focal.alpha")
    }
    return {
        rate_of(base): [*RATES[rate_of(base)]],
        "batch_size": [*BATCH_SIZES],
        "loss": ["focal"] if from_counts else [*LOSSES],
        **ranges,
    }


def values_of(config: TeacherConfig) -> Values:
    """A recipe's values of the searched settings; of the losses' own settings, those of the loss that it names."""
    values: Values = {
        rate_of(config): getattr(config, rate_of(config)),
        "batch_size": config.batch_size,
        "loss": config.loss,
    }
    for key in (key for key in search_space(config) if key.startswith(f"{config.loss}.")):
        values[key] = getattr(getattr(config, config.loss), key.partition(".")[2])
    return values


def with_values(base: TeacherConfig, values: Values) -> TeacherConfig:
    """The recipe with these values, rounded to what a person would write. Raises RecipeError."""
    loss = str(values["loss"])
    loss_values = {k.partition(".")[2]: round(float(v), 2) for k, v in values.items() if k.startswith(f"{loss}.")}
    rate = {rate_of(base): float(f"{values[rate_of(base)]:.3g}")}
    changes = {**rate, "batch_size": int(values["batch_size"]), "loss": loss}
    return replace(base, **changes, **{loss: replace(getattr(base, loss), **loss_values)})  # type: ignore[arg-type]


def is_in_space(base: TeacherConfig) -> bool:
    """Whether the search could propose the recipe as it is."""
    space = search_space(base)
    for key, value in values_of(base).items():
        allowed = space[key]
        inside = value in allowed if key in ("batch_size", "loss") else allowed[0] <= value <= allowed[1]  # type: ignore[operator]
        if not inside:
            return False
    return with_values(base, values_of(base)) == base


def run_search(
    config: SearchConfig, scores: Scores, folder: Path, on_trial_end: Callable[[list[Trial]], None]
) -> list[Trial]:
    """Run trials until there are `config.trials`; `on_trial_end` gets all finished ones after each.

    The first trial is the recipe itself if the search space contains it. A study that was killed proposes what it
    would have proposed, and so ends as an uninterrupted one. Raises RunError.
    """
    study = _open_study(folder / JOURNAL)
    for killed in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(killed.number, state=TrialState.FAIL)
    trials = _finished_trials(study)
    try:
        while len(trials) < config.trials:
            trial = _next_trial(study, config, len(trials))
            teacher = with_values(config.base, _suggest_values(trial, config.base))
            note(f"trial {len(trials) + 1} of {config.trials}: {values_line(values_of(teacher))}")
            _run_trial(study, trial, scores(teacher), config.folds)
            trials = _finished_trials(study)
            on_trial_end(trials)
    except KeyboardInterrupt as stop:
        kept = f"{len(trials)} of {config.trials} trials are kept in {folder}"
        raise KeyboardInterrupt(f"{kept}; the same command with --resume goes on") from stop
    return trials


def values_line(values: Values) -> str:
    """Such as learning_rate=2e-05 batch_size=16."""
    return " ".join(f"{key}={value}" for key, value in values.items())


def figures_of(trial: Trial) -> dict[str, float]:
    """What a tracker gets of a trial."""
    return {"seconds": trial.seconds, **({} if trial.value is None else {"value": trial.value})}


def best_of(trials: list[Trial]) -> Trial:
    """The complete trial with the highest value, the earlier of two. Raises RunError if there is none."""
    complete = [trial for trial in trials if trial.value is not None]
    if not complete:
        fault = trials[0].fault if trials else "there was none"
        raise RunError(f"none of {len(trials)} trials gave a value; the first: {fault}")
    return max(complete, key=lambda trial: (trial.value, -trial.number))


def _finished_trials(study: optuna.Study) -> list[Trial]:
    """All trials that ended by themselves; those that were killed are proposed again."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [_to_trial(number, trial) for number, trial in enumerate(finished, 1)]


def _to_trial(number: int, trial: optuna.trial.FrozenTrial) -> Trial:
    fault, is_complete = str(trial.user_attrs.get(FAULT, "")), trial.state == TrialState.COMPLETE
    state: State = "complete" if is_complete else "failed" if fault else "pruned"
    value = float(trial.value) if is_complete and trial.value is not None else None  # Optuna's pruned ones have one
    by_fold = tuple(float(v) for _, v in sorted(trial.intermediate_values.items()))
    seconds = 0.0 if trial.duration is None else float(trial.duration.total_seconds())
    return Trial(number, state, value, by_fold, dict(trial.params), seconds, fault)


def _open_study(journal: Path) -> optuna.Study:
    """The study in the journal, or a new one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # our table reports the trials
    journal.parent.mkdir(parents=True, exist_ok=True)
    lock = Path(f"{journal}.lock")
    lock.unlink(missing_ok=True)  # left by a process that was killed; a folder has one writer
    if journal.is_file():
        content = journal.read_bytes()
        complete = content.rfind(b"\n") + 1
        if complete < len(content):
            with journal.open("r+b") as handle:
                handle.truncate(complete)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
        return optuna.create_study(
            storage=storage, study_name="tune", direction="maximize", pruner=pruner, load_if_exists=True
        )
    except (ValueError, KeyError) as error:
        raise RunError(f"{journal}: damaged ({error}); start over with --overwrite") from error


def _next_trial(study: optuna.Study, config: SearchConfig, finished: int) -> optuna.Trial:
    """The sampler's seed depends on how many trials are finished, not on when this process began."""
    seed = int(np.random.SeedSequence([config.seed, finished]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if finished == 0 and not waiting and is_in_space(config.base):
        study.enqueue_trial(dict(values_of(config.base)))
    return study.ask()


def _suggest_values(trial: optuna.Trial, base: TeacherConfig) -> Values:
    space, rate = search_space(base), rate_of(base)
    values: Values = {rate: trial.suggest_float(rate, *RATES[rate], log=True)}
    for key in ("batch_size", "loss"):
        choice: Any = trial.suggest_categorical(key, space[key])
        values[key] = choice
    for key in (key for key in space if key.startswith(f"{values['loss']}.")):
        values[key] = trial.suggest_float(key, *LOSS_RANGES[key])
    return values


def _run_trial(study: optuna.Study, trial: optuna.Trial, by_fold: Iterator[float], folds: int) -> None:
    """Run a trial until it is complete, pruned below the median of the others, or failed."""
    score = 0.0
    try:
        for fold, score in enumerate(by_fold, 1):
            trial.report(score, fold)
            if fold < folds and trial.should_prune():
                note(f"pruned after fold {fold}: {score:.3f} is below the median there")
                study.tell(trial, state=TrialState.PRUNED)
                return
    except RunError as error:  # pruned without a value, which the sampler takes for the worst possible
        warn(f"this trial failed: {error}")
        trial.set_user_attr(FAULT, str(error))
        study.tell(trial, state=TrialState.PRUNED)
        return
    study.tell(trial, score)
