"""The table of docs/web.md, from docs/results/web.json. Measures nothing."""

from __future__ import annotations

from typing import Any


def web_table(tree: dict[str, Any]) -> str:
    """The page in a browser against the Predictor."""
    lines = [
        "| | images | other tokens | other pixels (most) | logits differ by, at most | allowed | flipped "
        "| page ms: read, model | Predictor ms: read, model |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, bundle in tree["bundles"].items():
        for row in bundle["rows"]:
            threads = "" if row["threads"] == 1 else f", {row['threads']} threads in the page"
            lines.append(
                f"| {name}, memes {row['what']}{threads} | {row['cases']} | {row['other_tokens']} "
                f"| {row['other_pixels']} ({row['largest_pixel_difference']}) "
                f"| {row['drift']:.1e}, {row['largest_logit_difference']:.1e} | {row['tolerance']:.1e} "
                f"| {row['flipped']} of {row['decisions']} | {row['page_read_ms']:.0f}, {row['page_model_ms']:.0f} "
                f"| {row['native_read_ms']:.0f}, {row['native_model_ms']:.0f} |"
            )
        golden = bundle["golden"]
        lines.append(
            f"| {name}, golden questions | 8 | {golden['other_tokens']} | {golden['other_pixels']} "
            f"| {golden['drift']:.1e}, {golden['largest']:.1e} | {golden['tolerance']:.1e} "
            f"| {golden['flipped']} of {golden['decisions']} | | |"
        )
    c = tree["conditions"]
    lines += [
        "",
        f"- {c['cpu']}, {c['browser']}, {c['runtime']}; the Predictor on onnxruntime {c['onnxruntime']}, "
        f"{c['native_threads']} thread, batch {c['batch']}. Page and Predictor took turns.",
        "- Medians, on a machine of two cores that did other work too: take the ratios, not the milliseconds.",
    ]
    return "\n".join(lines) + "\n"
