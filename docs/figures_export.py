"""The tables of docs/results-export.md that come from docs/results/export.json. Measures nothing."""

from __future__ import annotations

from typing import Any

from distill.runtime.onnx.towers import TOWERS
from distill.scoring.estimate import Estimate
from export.quantize.coverage import Reach


def precisions_table(tree: dict[str, Any]) -> str:
    """fp32, int8 and 4 bits of the same students."""
    return "\n".join(shipped_lines(tree["bundles"])) + "\n"


def tried_table(tree: dict[str, Any]) -> str:
    """All that was tried for the first Bundle."""
    name, bundle = next(iter(tree["bundles"].items()))
    lines = [f"| {name} | MB | dev micro-F1 lost | dev micro-AP lost | time / fp32 |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {tried_cells(tried)} |" for tried in bundle["tried"]]
    return "\n".join(lines) + "\n"


def coverage_table(tree: dict[str, Any]) -> str:
    """Shares in few bits, by tower."""
    bundles = tree["bundles"]
    lines = ["| | text: products, weights | image | head |", "|---|---:|---:|---:|"]
    for name, bundle in bundles.items():
        reached = (Reach(**bundle["coverage"][tower]) for tower in TOWERS)
        cells = (f"{reach.macs:.1%}, {reach.weights:.1%}" for reach in reached)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def devices_table(tree: dict[str, Any]) -> str:
    """The Bundles' own answers, given again on other processors."""
    lines = [
        "| Bundle | made for | replayed on | int8 instructions | logits differ by | allowed | flipped | |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for row in tree["verified"]:
        here = row["here"]
        lines.append(
            f"| {row['bundle']} | {row['target']} | {here['target']} | {here['int8 instructions']} "
            f"| {row['drift']:.1e} | {row['tolerance']:.1e} | {row['flipped']} of {row['decisions']} "
            f"| {'verified' if row['passed'] else 'NOT verified'} |"
        )
    return "\n".join(lines) + "\n"


def shipped_lines(bundles: dict[str, Any]) -> list[str]:
    """The heading and a row for each Bundle: the file that shipped."""
    return [
        "| student | what shipped | MB | dev micro-F1 lost | dev micro-AP lost | time / fp32 |",
        "|---|---|---:|---:|---:|---:|",
        *(f"| {name} | {tried_cells(bundle['tried'][0])} |" for name, bundle in bundles.items()),
    ]


def tried_cells(tried: dict[str, Any]) -> str:
    """One quantised file: scheme, size, losses, time."""
    return (
        f"{tried['scheme']} | {tried['size_bytes'] / 1e6:.1f} | {Estimate(**tried['dev_micro_f1_drop']):+.3f} "
        f"| {tried['dev_micro_ap_drop']:+.4f} | {tried['time_ratio']:.2f}"
    )
