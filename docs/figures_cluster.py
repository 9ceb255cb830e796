"""The tables of docs/cluster.md, from docs/results/ray.json. Measures nothing."""

from __future__ import annotations

from statistics import median
from typing import Any


def cluster_table(tree: dict[str, Any]) -> str:
    """Rows a second of one process and of Ray's workers, measured in turns."""
    machine, bundle = tree["machine"], tree["bundle"]
    lines = [
        "| | rows/s, median | lowest to highest round | before it is in its stride, s |",
        "|---|---:|---:|---:|",
    ]
    for way in tree["ways"]:
        what = ("one process, threads: " if way["engine"] == "process" else "Ray, workers of one thread: ") + str(
            way["count"]
        )
        rates = way["rows_per_s"]
        spread = f"{min(rates):.1f} to {max(rates):.1f}"
        lines.append(f"| {what} | {median(rates):.1f} | {spread} | {median(way['start_s']):.1f} |")
    versions = ", ".join(f"{name} {version}" for name, version in tree["packages"].items())
    same = "the same bytes" if tree["same_bytes"] else "not the same bytes"
    return (
        "\n".join(
            [
                *lines,
                "",
                f"- Two workers to one: {tree['speedup']:.2f} times the rows/s, the median of the rounds.",
                f"- {tree['rows']:,} memes, {tree['rounds']} rounds in turns, blocks of {tree['block_rows']}; all "
                f"four gave {same}.",
                f"- {machine['cpu']}, {machine['cores']} cores, load {machine['load']:.1f} at the start; "
                f"{bundle['precision']} {bundle['kind']} of {bundle['size_bytes'] / 1e6:.1f} MB; {versions}.",
            ]
        )
        + "\n"
    )


def cost_table(tree: dict[str, Any]) -> str:
    """What a collection takes at the rate of two workers, were it the same on more machines."""
    (pair,) = [way for way in tree["ways"] if (way["engine"], way["count"]) == ("ray", 2)]
    each = median(pair["rows_per_s"]) / pair["count"]
    lines = ["| rows | core-hours | hours on 16 cores | hours on 256 cores |", "|---:|---:|---:|---:|"]
    for rows in (1_000_000, 100_000_000):
        hours = rows / each / 3600
        lines.append(f"| {rows:,} | {hours:,.1f} | {hours / 16:,.2f} | {hours / 256:,.2f} |")
    return "\n".join(lines) + "\n"
