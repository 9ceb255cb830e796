"""The tables of docs/serve.md from docs/results/serve.json. Measures nothing."""

from __future__ import annotations

from typing import Any


def load_table(tree: dict[str, Any]) -> str:
    """Requests a second and their times by concurrency, with and without batches, beside the Predictor alone."""
    lines = [
        "| at once | requests/s | p50 ms | p99 ms | requests/s, --max-batch 1 | p50 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
        f"| the Predictor alone, no service | {_cells(tree['alone'])} | | | |",
    ]
    for batched, single in zip(tree["loads"], tree["unbatched"], strict=True):
        lines.append(f"| {batched['concurrency']} | {_cells(batched)} | {_cells(single)} |")
    c, drift = tree["conditions"], tree["drift"]
    threads = "one a core" if c["threads"] == 0 else str(c["threads"])
    lines += [
        "",
        f"- {c['cpu']}, {c['cpus']:g} CPUs shared by service and client; threads of the model: {threads}; "
        f"Bundle of {c['bundle_mb']:.0f} MB; {c['posts']} memes in turn, images of "
        f"{c['image_kb_median']:.0f} kB and texts of {c['text_characters_median']:.0f} characters (medians), "
        f"sent as JSON; {tree['loads'][0]['requests']} requests each.",
        f"- {drift['flipped']} of {drift['decisions']} decisions were others in a batch than alone; probabilities "
        f"moved by {drift['mean']:.4f} on average and {drift['most']:.3f} at most.",
    ]
    return "\n".join(lines) + "\n"


def memory_sentence(tree: dict[str, Any]) -> str:
    """The long load: errors and memory."""
    long, rss = tree["long"], tree["long"]["rss_mb"]
    errors = long["requests"] - long["statuses"].get("200", 0)
    said = (
        f"{long['requests']:,} requests, {long['concurrency']} at once: {errors} errors; memory "
        f"{rss['before']:.0f} MB before, {rss['most']:.0f} MB at most, {rss['after']:.0f} MB after."
    )
    if "fuzz" in tree:
        said += f" Schemathesis sent {tree['fuzz']['cases']:,} cases made from /openapi.json; all passed."
    return f"{said}\n"


def _cells(row: dict[str, Any]) -> str:
    return f"{row['requests_per_s']:.1f} | {row['p50_ms']:.0f} | {row['p99_ms']:.0f}"
