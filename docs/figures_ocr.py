"""The tables of docs/ocr.md. Knows docs/results/ocr.json, measures nothing."""

from __future__ import annotations

from typing import Any

from distill.scoring.estimate import Estimate

F1_ROWS = {
    "typed": "typed by annotators",
    "read": "read off the image",
    "none": "none: the image alone",
    "read - typed": "read - typed",
    "read - none": "read - none",
    "typed - none": "typed - none",
}


def rates(tree: dict[str, Any]) -> str:
    """Character error rates by order of lines and by spaces."""
    memes = tree["memes"]
    lines = [
        "| order of lines | character error rate [95 %] | median meme | memes above 0.5 |",
        "|---|---:|---:|---:|",
    ]
    lines += [f"| {name} | {_rate(rate)} |" for name, rate in tree["rates"].items()]
    lines.append(f"| ours, with spaces, dev alone | {_rate(tree['dev_rates'])} |")
    seconds, machine = tree["seconds"], tree["machine"]
    lines += [
        "",
        f"- {tree['reader']}, {memes['train']} + {memes['dev']} memes; {tree['without_text']} of them without any "
        f"text found, {tree['without_text_typed']} without any typed.",
        f"- A meme takes {seconds['p50']:.2f} s of processor time in the median, {seconds['p90']:.2f} s at p90 "
        f"({machine['cpu']}, {machine['threads']} thread, other work beside it).",
        "- Edits over typed characters, both in lower case, letters and digits alone; docs/collect_ocr.py has the "
        "definition.",
    ]
    return "\n".join(lines) + "\n"


def f1(tree: dict[str, Any]) -> str:
    """The Bundle's F1 with each kind of text, and the differences in pairs."""
    lines = ["| text | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP [95 %] |", "|---|---:|---:|---:|"]
    for name, what in F1_ROWS.items():
        row = tree["f1"]["rows"][name]
        sign = "+" if " - " in name else ""
        lines.append(
            f"| {what} | {' | '.join(_figure(row[key], sign) for key in ('micro', 'macro', 'micro_ap'))} |"
        )
    flipped, decisions = tree["f1"]["flipped"], tree["f1"]["decisions"]
    lines += [
        "",
        f"- An int8 Bundle on dev ({tree['memes']['dev']} memes) with its own thresholds; its student has seen the "
        "texts of train.",
        f"- {flipped} of {decisions} decisions are others with the text that was read.",
    ]
    return "\n".join(lines) + "\n"


def _rate(rate: dict[str, Any]) -> str:
    return f"{_figure(rate['cer'])} | {rate['median']:.3f} | {rate['misread']:.1%}"


def _figure(value: dict[str, Any], sign: str = "") -> str:
    return f"{Estimate(**value):{sign}.3f}"
