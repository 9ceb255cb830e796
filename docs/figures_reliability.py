"""The tables of docs/reliability.md, from docs/results/reliability.json. Measures nothing."""

from __future__ import annotations

from typing import Any


def faults_table(tree: dict[str, Any]) -> str:
    """What was broken while it wrote."""
    lines = ["| | killed before an operation | killed in a write | out of room |", "|---|---:|---:|---:|"]
    faults = tree["faults"]
    for what, ends in faults.items():
        lines.append(f"| {what} | {ends['killed']} | {ends['torn']} | {ends['full']} |")
    total = [sum(ends[kind] for ends in faults.values()) for kind in ("killed", "torn", "full")]
    lines.append("| all, survived | " + " | ".join(map(str, total)) + " |")
    return "\n".join(lines) + "\n"


def inputs_table(tree: dict[str, Any]) -> str:
    """What was fed in."""
    lines = ["| | tried | wrong |", "|---|---:|---:|"]
    lines += [f"| {what} | {count} | 0 |" for what, count in tree["inputs"].items()]
    m = tree["mutants"]
    tried = m["answered"] + m["refused"] + sum(m["other"].values())
    lines.append(
        f"| mutants of a Bundle, checksums mended, {m['seconds']} s | {tried} ({m['refused']} refused) "
        f"| {sum(m['other'].values())} |"
    )
    return "\n".join(lines) + "\n"


def long_table(tree: dict[str, Any]) -> str:
    """A hundred thousand items."""
    run = tree["long"]
    peaks = ", ".join(f"{value:.0f} MB at {share}" for share, value in run["peak_rss_mb"].items())
    same = "the same bytes as" if run["same_bytes_after_kill"] else "OTHER bytes than"
    return (
        f"{run['items']:,} items with the demo's Bundle on one thread: {run['seconds']:.0f} s, "
        f"{run['items_per_second']:.0f} a second, largest memory {peaks}. Killed after {run['killed_after']:,} "
        f"answers and resumed, it ends with {same} the unbroken run. Eight threads on one Predictor give the "
        "answers of one.\n"
    )


def found_table(tree: dict[str, Any]) -> str:
    """What was wrong before."""
    lines = ["| before | now |", "|---|---|"]
    lines += [f"| {row['what']} | {row['now']} |" for row in tree["found"]]
    return "\n".join(lines) + "\n"


def open_list(tree: dict[str, Any]) -> str:
    """What is not mended."""
    return "".join(f"- {text}\n" for text in tree["open"])
