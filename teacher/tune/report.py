"""What a search found: its files, its table, and how much of it to believe. Knows trials, no Optuna."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from distill import __version__
from distill.core.files import write_json, write_text
from distill.core.recipe import Recipe, TeacherConfig
from distill.data.run_folder import BEST, STUDY
from distill.scoring.bootstrap import PairedBootstrap, estimate
from distill.scoring.estimate import Estimate
from distill.scoring.metrics import Probabilities, Targets
from distill.scoring.thresholds import cross_fitted
from teacher.tune.judge import FoldJudge
from teacher.tune.search import Tried, best_of, is_in_space, rate_of, space, values_of, with_values

SHOWN = 10  # of the trials in the table


@dataclass(frozen=True)
class Terms:
    """Of a search: the recipe that it starts from, its folds, its seed and the examples of the training split."""

    recipe: Recipe
    folds: int
    seed: int
    examples: int


@dataclass(frozen=True)
class Verdict:
    """The best trial's value with its interval over examples, and its difference from the recipe that the search
    started from, None where that is itself the best or was no trial. Neither knows that the best was chosen."""

    best: Tried
    value: Estimate
    gain: Estimate | None


def record(folder: Path, terms: Terms, found: list[Tried], verdict: Verdict | None = None) -> None:
    """Write study.json, and best.toml once there is a best trial."""
    base = terms.recipe.teacher
    tree: dict[str, Any] = {
        "distill": __version__,
        "objective": base.threshold_objective,
        "measured": "out of fold on the training split, thresholds cross-fitted",
        "examples": terms.examples,
        "folds": terms.folds,
        "seed": terms.seed,
        "space": space(base),
        "trials": [asdict(one) | {"values": _values(base, one)} for one in found],
    }
    if any(one.value is not None for one in found):
        best = best_of(found)
        text = to_toml(replace(terms.recipe, teacher=with_values(base, best.values)))
        write_text(folder / BEST, f"# Trial {best.number} of distill tune;\n# {_chosen(len(found))}.\n{text}")
        tree["best"] = best.number
    if verdict is not None:
        tree["verdict"] = {"value": asdict(verdict.value), "gain": verdict.gain and asdict(verdict.gain)}
    write_json(folder / STUDY, tree)


def judge_best(judge: FoldJudge, base: TeacherConfig, found: list[Tried]) -> Verdict:
    """A bootstrap of the best trial's answers, in pairs with those of `base`. Raises RunError without a best."""
    best = best_of(found)
    draws, objective, targets = PairedBootstrap(len(judge.targets), 1), base.threshold_objective, judge.targets

    def drawn(config: TeacherConfig) -> Any:
        probabilities: Probabilities = judge.probabilities(config)
        wanted: Targets = targets
        decisions = cross_fitted(probabilities, wanted, objective)
        return draws.metric_draws(wanted, [probabilities], [decisions])[objective]

    ours = drawn(with_values(base, best.values))
    is_first = best.number == 1 or not is_in_space(base) or found[0].value is None
    return Verdict(best, estimate(ours), None if is_first else estimate(ours - drawn(base)))


def to_toml(recipe: Recipe) -> str:
    """What differs from the packaged defaults, which `Recipe.load` lays a file over."""
    tables: dict[str, list[str]] = {}
    _differences(asdict(Recipe.load()), asdict(recipe), "", tables)
    return "\n".join("\n".join(([f"[{name}]"] if name else []) + lines) + "\n" for name, lines in tables.items())


def _differences(base: dict[str, Any], top: dict[str, Any], where: str, tables: dict[str, list[str]]) -> None:
    lines = [f"{k} = {_literal(v)}" for k, v in top.items() if not isinstance(v, dict) and v != base[k]]
    if lines:
        tables[where] = lines
    for key, value in top.items():
        if isinstance(value, dict):
            _differences(base[key], value, f"{where}.{key}".lstrip("."), tables)


def _literal(value: Any) -> str:
    """JSON's words for strings, truths and numbers are TOML's too, but for one character."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007F")


def to_table(found: Sequence[Tried], terms: Terms) -> Table:
    """The best trials, for the terminal."""
    base = terms.recipe.teacher
    ranked = sorted(found, key=lambda one: (one.value is None, -(one.value or 0), one.number))
    pruned, failed = (sum(one.state == state for one in found) for state in ("pruned", "failed"))
    title = f"{len(found)} trials ({pruned} pruned, {failed} failed), out of fold on {terms.examples} examples, "
    table = Table(title=f"{title}{terms.folds} folds", title_justify="left")
    for heading in ("trial", f"{base.threshold_objective} F1", rate_of(base).replace("_", " "), "batch"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("loss")
    table.add_column("minutes", justify="right")
    for one in ranked[:SHOWN]:
        values = _values(base, one)
        own = ", ".join(f"{k.partition('.')[2]} {v}" for k, v in values.items() if "." in k)
        value = one.state if one.value is None else f"{one.value:.3f}"
        loss = f"{values['loss']}: {own}"
        row = (str(one.number), value, f"{values[rate_of(base)]:g}", str(values["batch_size"]), loss)
        table.add_row(*row, f"{one.seconds / 60:.1f}")
    return table


def told(verdict: Verdict, terms: Terms, trials: int) -> list[str]:
    """What the best is worth, in sentences."""
    v, objective = verdict.value, terms.recipe.teacher.threshold_objective
    lines = [f"Best: trial {verdict.best.number}, {objective} F1 {v:.3f}, 95 % over examples."]
    if (g := verdict.gain) is not None:
        lines.append(f"Against the recipe as it was, trial 1: {g:+.3f}.")
    elif verdict.best.number == 1 and is_in_space(terms.recipe.teacher):
        lines.append("That is the recipe as it was.")
    return [*lines, f"But {_chosen(trials)}."]


def _chosen(trials: int) -> str:
    return (
        f"the best of {trials} trials flatters, which no interval here makes good; judge it with distill "
        "compare-teachers, or on a test split"
    )


def _values(base: TeacherConfig, one: Tried) -> dict[str, Any]:
    return dict(values_of(with_values(base, one.values)))


def comparison(terms: Terms, best: Tried, data: Path, out: Path, given: Sequence[str]) -> list[str]:
    """The words of the command that judges the best against the recipe; `given` are its --recipe and --set."""
    base = terms.recipe.teacher
    settings = " ".join(f"teacher.{key}={value}" for key, value in _values(base, best).items())
    tries = ["--try", "recipe", "--try", f"tuned={settings}"]
    return ["distill", "compare-teachers", "--data", str(data), "--out", str(out), *given, *tries]
