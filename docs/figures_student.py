"""The tables of docs/results-student.md, from docs/results/student.json, and the teacher's in README.md."""

from __future__ import annotations

from typing import Any

from figures_export import shipped_lines
from figures_teacher import figure


def teacher_table(tree: dict[str, Any]) -> str:
    """The teacher's figures, out-of-fold and on dev, beside the constant predictor."""
    lines = ["| | examples | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {row['what']} | {row['examples']} | {f1_cells(row)} |" for row in tree["quality"]]
    constant = tree["constant"]
    lines.append(
        f"| out-of-fold train, always {', '.join(constant['names'])} | {tree['quality'][0]['examples']} "
        f"| {constant['micro_f1']:.3f} | {constant['macro_f1']:.3f} | |"
    )
    return "\n".join(lines) + "\n"


def verdict_table(tree: dict[str, Any]) -> str:
    """Teacher, distilled student and control, for each control experiment."""
    lines = ["| | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP [95 %] |", "|---|---:|---:|---:|"]
    for name, verdict in tree["verdicts"].items():
        arms = (("teacher", "teacher"), ("distilled", "student, distilled"), ("control", "the same, labels alone"))
        for key, what in arms:
            cells = (figure(verdict[key].get(metric)) for metric in ("micro_f1", "macro_f1", "micro_ap"))
            lines.append(f"| {name}: {what} | {' | '.join(cells)} |")
        for key, what in (("gain", "distilled - control"), ("retention", "distilled / teacher")):
            cells = (figure(verdict[key].get(metric)) for metric in ("micro", "macro", "micro_ap"))
            lines.append(f"| {name}: {what} | {' | '.join(cells)} |")
    lines += ["", *(f"- {name}: {verdict['sentence']}." for name, verdict in tree["verdicts"].items())]
    return "\n".join(lines) + "\n"


def halves_table(tree: dict[str, Any]) -> str:
    """What each half of a post is worth alone, out of fold."""
    lines = ["| | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP |", "|---|---:|---:|---:|"]
    for size in (
        size for size in tree["sizes"] if "both" in size["quality"] and not size["settings"]["vocabulary"]
    ):
        for what in ("both", "text alone", "image alone"):
            lines.append(f"| {size['name']}, {what} | {f1_cells(size['quality'][what])} |")
    return "\n".join(lines) + "\n"


def sizes_table(tree: dict[str, Any]) -> str:
    """Each smaller student: its cost in F1, its gain in bytes and milliseconds."""
    lines = [
        "| student | layers | words kept | image | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP "
        "| dev micro-F1 | dev micro-AP | int8 MB | int8 p50 ms |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for size in tree["sizes"]:
        s, dev = size["settings"], size["quality"].get("dev")
        # The words of the whole training split stay, so what is held out of it cannot show what pruning costs.
        whole = "see dev | see dev | see dev" if s["vocabulary"] else "– | – | –"
        if "both" in size["quality"] and not s["vocabulary"]:
            whole = f1_cells(size["quality"]["both"])
        on_dev = f"{dev['micro_f1']['value']:.3f} | {dev['micro_ap']:.3f}" if dev else "– | –"
        lines.append(
            f"| {size['name']} | {s['layers'] or 'all 6'} | {s['vocabulary'] or 'all'} "
            f"| {s['image']}, {s['size']} | {whole} | {on_dev} "
            f"| {size['size_bytes'] / 1e6:.1f} | {size['latency']['p50_ms']:.1f} |"
        )
    c = tree["conditions"]
    calls = f"{c['calls']} calls each in interleaved rounds, batch 1, {c['threads']} thread"
    lines += ["", "- F1 and AP out of fold on the training split, and on dev (63 memes)."]
    lines.append(f"- Times: {c['cpu']}, {calls}, image file to labels.")
    spread = max(size["latency"]["round_spread"] for size in tree["sizes"])
    lines.append(f"- The medians of rounds moved by up to {spread:.0%}.")
    return "\n".join(lines) + "\n"


def int8_table(tree: dict[str, Any]) -> str:
    """What shipped after plain training and after training in int8 arithmetic, and what it lost."""
    bundles = tree["int8"]
    lines = [*shipped_lines(bundles), ""]
    for name, bundle in bundles.items():
        drift, rows = bundle["drift"], {key: bundle[key]["micro_f1"]["value"] for key in ("fp32", "int8")}
        lines.append(
            f"- {name}: {drift['flipped']} of {drift['decisions']} dev decisions flip with the fp32 thresholds, "
            f"{drift['flipped_refitted']} with the int8 file's own; dev micro-F1 {rows['fp32']:.3f} in fp32, "
            f"{rows['int8']:.3f} in int8."
        )
    return "\n".join(lines) + "\n"


def f1_cells(row: dict[str, Any]) -> str:
    """Micro-F1, macro-F1 with their intervals, and micro-AP."""
    return f"{figure(row['micro_f1'])} | {figure(row['macro_f1'])} | {row['micro_ap']:.3f}"
