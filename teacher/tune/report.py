"""What a search found: study.json, best.toml and a table, with how far the best value can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from distill import __version__
from distill.core.settings.recipe import TeacherConfig
from distill.core.settings.recipe_text import changes_to_toml
from distill.core.storage.files import write_json, write_text
from distill.data.run_folder import BEST, STUDY
from distill.scoring.bootstrap import PairedBootstrap, estimate
from distill.scoring.estimate import Estimate
from distill.scoring.thresholds import cross_fitted
from teacher.tune.cross_validation import CrossValidation
from teacher.tune.search import (
    SearchConfig,
    Trial,
    best_of,
    is_in_space,
    rate_of,
    search_space,
    values_of,
    with_values,
)

TABLE = "study.txt"
SHOWN = 10  # of the trials in the table


@dataclass(frozen=True)
class BestTrial:
    """The best trial's value with its interval over examples, and its difference from the recipe that the search
    started from, None if that is itself the best or was no trial. Neither corrects for the choice."""

    trial: Trial
    value: Estimate
    gain: Estimate | None


def write_study(
    folder: Path, config: SearchConfig, examples: int, trials: list[Trial], best: BestTrial | None = None
) -> None:
    """Write study.json, and best.toml once a trial is complete; `examples` is the size of the training split."""
    tree: dict[str, Any] = {
        "distill": __version__,
        "objective": config.base.threshold_objective,
        "measured": "out of fold on the training split, thresholds cross-fitted",
        "examples": examples,
        "folds": config.folds,
        "seed": config.seed,
        "space": search_space(config.base),
        "trials": [asdict(trial) | {"values": _rounded_values(config.base, trial)} for trial in trials],
    }
    if any(trial.value is not None for trial in trials):
        trial = best_of(trials)
        text = changes_to_toml(replace(config.recipe, teacher=with_values(config.base, trial.values)))
        write_text(folder / BEST, f"# Trial {trial.number} of distill tune;\n# {_caveat(len(trials))}.\n{text}")
        tree["best"] = trial.number
    if best is not None:
        tree["verdict"] = {"value": asdict(best.value), "gain": best.gain and asdict(best.gain)}
    write_json(folder / STUDY, tree)


def evaluate_best(cross_validation: CrossValidation, base: TeacherConfig, trials: list[Trial]) -> BestTrial:
    """Bootstrap the best trial's out-of-fold F1, in pairs with that of `base`. Raises RunError without a best."""
    trial, targets = best_of(trials), cross_validation.targets
    draws = PairedBootstrap(len(targets), 1)

    def f1_draws(config: TeacherConfig) -> Any:
        probabilities = cross_validation.probabilities(config)
        groups = cross_validation.classifier.labels.group_columns
        decisions = cross_fitted(probabilities, targets, base.threshold_objective, groups=groups)
        return draws.metric_draws(targets, [probabilities], [decisions])[base.threshold_objective]

    best = f1_draws(with_values(base, trial.values))
    has_no_reference = trial.number == 1 or not is_in_space(base) or trials[0].value is None
    return BestTrial(trial, estimate(best), None if has_no_reference else estimate(best - f1_draws(base)))


def search_table(trials: Sequence[Trial], config: SearchConfig, examples: int) -> Table:
    """The best trials, for the terminal."""
    base = config.base
    ranked = sorted(trials, key=lambda trial: (trial.value is None, -(trial.value or 0), trial.number))
    pruned, failed = (sum(trial.state == state for trial in trials) for state in ("pruned", "failed"))
    title = f"{len(trials)} trials ({pruned} pruned, {failed} failed), out of fold on {examples} examples, "
    table = Table(title=f"{title}{config.folds} folds", title_justify="left")
    for heading in ("trial", f"{base.threshold_objective} F1", rate_of(base).replace("_", " "), "batch"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("loss")
    table.add_column("minutes", justify="right")
    for trial in ranked[:SHOWN]:
        values = _rounded_values(base, trial)
        loss_values = ", ".join(f"{k.partition('.')[2]} {v}" for k, v in values.items() if "." in k)
        value = trial.state if trial.value is None else f"{trial.value:.3f}"
        loss = f"{values['loss']}: {loss_values}"
        row = (str(trial.number), value, f"{values[rate_of(base)]:g}", str(values["batch_size"]), loss)
        table.add_row(*row, f"{trial.seconds / 60:.1f}")
    return table


def summary_lines(best: BestTrial, base: TeacherConfig, trials: int) -> list[str]:
    """The best trial's value, its gain and the caveat, a sentence each."""
    lines = [
        f"Best: trial {best.trial.number}, {base.threshold_objective} F1 {best.value:.3f}, 95 % over examples."
    ]
    if best.gain is not None:
        lines.append(f"Against the recipe as it was, trial 1: {best.gain:+.3f}.")
    elif best.trial.number == 1 and is_in_space(base):
        lines.append("That is the recipe as it was.")
    return [*lines, f"But {_caveat(trials)}."]


def _caveat(trials: int) -> str:
    return (
        f"the best of {trials} trials flatters, which no interval here makes good; judge it with distill "
        "compare-teachers, or on a test split"
    )


def _rounded_values(base: TeacherConfig, trial: Trial) -> dict[str, Any]:
    return dict(values_of(with_values(base, trial.values)))


def compare_command(base: TeacherConfig, best: Trial, data: Path, out: Path, options: Sequence[str]) -> list[str]:
    """The command, as arguments, that compares the best trial with the recipe; `options` are the search's own
    --recipe and --set."""
    settings = " ".join(f"teacher.{key}={value}" for key, value in _rounded_values(base, best).items())
    tries = ["--try", "recipe", "--try", f"tuned={settings}"]
    return ["distill", "compare-teachers", "--data", str(data), "--out", str(out), *options, *tries]
