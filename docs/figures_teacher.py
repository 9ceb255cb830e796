"""The tables of docs/results-teacher.md, from docs/results/teachers.json and thresholds.json. Measures nothing."""

from __future__ import annotations

from typing import Any

from distill.scoring.estimate import Estimate


def teachers_table(tree: dict[str, Any], comparison: str) -> str:
    """Every teacher of a comparison: F1 by objective of the thresholds, and AP, which needs none."""
    lines = [
        "| | micro-F1 [95 %] | macro-F1 [95 %] | micro-F1, objective micro | macro-F1, objective macro "
        "| micro-AP |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    made = tree["comparisons"][comparison]["objectives"]
    balanced, micro, macro = (made[name] for name in ("balanced", "micro", "macro"))
    for number, recipe in enumerate(balanced["recipes"]):
        arm, best_micro, best_macro = (part["recipes"][number]["arm"] for part in (balanced, micro, macro))
        cells = (
            arm["micro_f1"],
            arm["macro_f1"],
            best_micro["micro_f1"],
            best_macro["macro_f1"],
            arm["micro_ap"],
        )
        lines.append(f"| {recipe['name']} | {' | '.join(map(figure, cells))} |")
    constant = (figure(balanced["constant"][key]) for key in ("micro_f1", "macro_f1"))
    lines.append(f"| always {', '.join(balanced['constant_names'])} | {' | '.join(constant)} | | | |")
    s, seeds = tree["comparisons"][comparison]["settings"], balanced["seeds"]
    means = f"means over the seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]} alone"
    lines += [
        "",
        f"{balanced['examples']} training memes out of fold, {balanced['folds']} folds, {means}; {tree['dev']} dev "
        f"memes stop each training. {s['image']} + {s['text']}, at most {s['epochs']} epochs, {s['precision']}; "
        f"{tree['cpu']}. Thresholds cross-fitted over rows, for the mean of both F1 unless the column says "
        "otherwise.",
    ]
    return "\n".join(lines) + "\n"


def gains_table(tree: dict[str, Any], comparison: str) -> str:
    """Differences from the first teacher of a comparison, in pairs."""
    lines = [
        "| | micro-F1, objective micro | micro-F1 | macro-F1 | mean of both | micro-AP |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    balanced, micro = (tree["comparisons"][comparison]["objectives"][name] for name in ("balanced", "micro"))
    first, *others = balanced["recipes"]
    for number, recipe in enumerate(others, 1):
        gains = [recipe["gain"][key] for key in ("micro", "macro", "balanced", "micro_ap")]
        cells = (micro["recipes"][number]["gain"]["micro"], *gains)
        lines.append(f"| {recipe['name']} - {first['name']} | {' | '.join(map(signed, cells))} |")
    gains = [balanced["constant_gain"][key] for key in ("micro", "macro", "balanced")]
    row = " | ".join(map(signed, (micro["constant_gain"]["micro"], *gains)))
    lines.append(f"| constant - {first['name']} | {row} | |")
    return "\n".join(lines) + "\n"


def epochs_table(tree: dict[str, Any]) -> str:
    """What an epoch costs beside one of a text-only teacher."""
    lines = ["| | s an epoch, median (least – most) | of text alone, median of the rounds |", "|---|---:|---:|"]
    for name, seconds in tree["seconds"].items():
        middle = sorted(seconds)[len(seconds) // 2]
        spread = f"{middle:.1f} ({min(seconds):.1f} – {max(seconds):.1f})"
        lines.append(f"| {name} | {spread} | {tree['ratio'][name]:.2f} |")
    rounds = len(next(iter(tree["seconds"].values())))
    lines += [
        "",
        f"{tree['examples']} memes, {rounds} rounds in turns, {tree['threads']} thread(s), {tree['cpu']}.",
    ]
    return "\n".join(lines) + "\n"


def thresholds_table(tree: dict[str, Any]) -> str:
    """Ways to choose thresholds, on rows that they were not fitted on."""
    lines = [
        "| | micro-F1 [95 %] | macro-F1 [95 %] | mean of both [95 %] | the default is better by |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in tree["rows"]:
        cells = [figure(row[key]) for key in ("micro", "macro", "balanced", "default_minus")]
        lines.append(f"| {row['way']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(value: dict[str, Any] | None) -> str:
    """A value with its interval; a dash for one that was not measured."""
    return "–" if value is None else f"{Estimate(**value):.3f}"


def signed(value: dict[str, Any]) -> str:
    """A difference with its interval."""
    return f"{Estimate(**value):+.3f}"
