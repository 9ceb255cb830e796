"""Write the figures of README.md and docs/results-*.md from docs/results/*.json, between their markers.

Measures nothing.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import figures_ocr
import figures_serve
import figures_teacher
import figures_web
from figures_teacher import figure

from bench.figures import BenchReport, read
from bench.page.cast import colours, devices
from bench.page.plots import against_latency
from bench.page.style import variables
from bench.report import Grid, estimate, limit, memory, noise_sentence, scaling, stages, to_markdown
from export.coverage import Reach
from export.towers import TOWERS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
PAGES = {
    "README.md": ("bench", "teacher"),
    "docs/results-student.md": ("verdict", "halves", "sizes", "int8"),
    "docs/results-teacher.md": ("teachers", "gains", "epochs", "thresholds"),
    "docs/ocr.md": ("ocr", "ocr-f1"),
    "docs/reliability.md": ("faults", "inputs", "long", "found", "open"),
    "docs/web.md": ("web",),
    "docs/serve.md": ("serving", "serving memory"),
    "docs/results-export.md": (
        "times",
        "stages",
        "memory",
        "scaling",
        "limit",
        "precisions",
        "tried",
        "coverage",
        "devices",
    ),
}
TIME_ONLY = "random-albert"  # a teacher whose ALBERT has random weights: its F1 means nothing


def load(name: str) -> Any:
    """One committed JSON file."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def measured(whole: bool = True) -> BenchReport:
    """The one benchmark; not whole, without what stands in it for its time alone."""
    report = read(RESULTS / "bench.json")
    return report if whole else replace(report, rows=tuple(row for row in report.rows if TIME_ONLY not in row.name))


def bench_table() -> str:
    """The benchmark as `distill bench` writes it."""
    return to_markdown(measured(whole=False))


def front_picture() -> str:
    """F1 against latency as an SVG file that follows the reader's light or dark."""
    found = devices([measured(whole=False)])
    picture = str(against_latency(found, colours(found), "micro", "front"))
    style = f"{variables()} text{{font-family:sans-serif}}"
    head, _, rest = picture.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'


def teacher_table() -> str:
    """The teacher's figures, out-of-fold and on dev, beside the constant predictor."""
    metrics = load("teacher")
    lines = ["| | examples | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {row['what']} | {row['examples']} | {f1_cells(row)} |" for row in metrics["quality"]]
    constant = metrics["constant"]
    lines.append(
        f"| out-of-fold train, always {', '.join(constant['names'])} | {metrics['quality'][0]['examples']} "
        f"| {constant['micro_f1']:.3f} | {constant['macro_f1']:.3f} | |"
    )
    return "\n".join(lines) + "\n"


def verdict_table() -> str:
    """Teacher, taught student and control, for each control experiment."""
    lines = ["| | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP [95 %] |", "|---|---:|---:|---:|"]
    for name, verdict in load("student")["verdicts"].items():
        arms = (("teacher", "teacher"), ("taught", "student, taught"), ("control", "the same, labels alone"))
        for key, what in arms:
            cells = (figure(verdict[key].get(metric)) for metric in ("micro_f1", "macro_f1", "micro_ap"))
            lines.append(f"| {name}: {what} | {' | '.join(cells)} |")
        for key, what in (("gain", "taught - control"), ("retention", "taught / teacher")):
            cells = (figure(verdict[key].get(metric)) for metric in ("micro", "macro", "micro_ap"))
            lines.append(f"| {name}: {what} | {' | '.join(cells)} |")
    lines += ["", *(f"- {name}: {verdict['sentence']}." for name, verdict in load("student")["verdicts"].items())]
    return "\n".join(lines) + "\n"


def halves_table() -> str:
    """What each half of a post is worth alone, out of fold."""
    lines = ["| | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP |", "|---|---:|---:|---:|"]
    for size in (
        size
        for size in load("student")["sizes"]
        if "both" in size["quality"] and not size["settings"]["vocabulary"]
    ):
        for what in ("both", "text alone", "picture alone"):
            lines.append(f"| {size['name']}, {what} | {f1_cells(size['quality'][what])} |")
    return "\n".join(lines) + "\n"


def sizes_table() -> str:
    """Each smaller student: its cost in F1, its gain in bytes and milliseconds."""
    tree = load("student")
    lines = [
        "| student | layers | words kept | picture | micro-F1 [95 %] | macro-F1 [95 %] | micro-AP "
        "| dev micro-F1 | dev micro-AP | int8 MB | int8 p50 ms |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for size in tree["sizes"]:
        s, dev = size["settings"], size["quality"].get("dev")
        # The words of the whole training split stay, so what is held out of it cannot show what pruning costs.
        whole = "see dev | see dev | see dev" if s["vocabulary"] else "– | – | –"
        if "both" in size["quality"] and not s["vocabulary"]:
            whole = f1_cells(size["quality"]["both"])
        on_dev = f"{dev['micro_f1']:.3f} | {dev['micro_ap']:.3f}" if dev else "– | –"
        lines.append(
            f"| {size['name']} | {s['layers'] or 'all 6'} | {s['vocabulary'] or 'all'} "
            f"| {s['picture']}, {s['size']} | {whole} | {on_dev} "
            f"| {size['size_bytes'] / 1e6:.1f} | {size['latency']['p50_ms']:.1f} |"
        )
    c = tree["conditions"]
    calls = f"{c['calls']} calls each in interleaved rounds, batch 1, {c['threads']} thread"
    lines += ["", "- F1 and AP out of fold on the training split, and on dev (63 memes)."]
    lines.append(f"- Times: {c['cpu']}, {calls}, picture file to labels.")
    spread = max(size["latency"]["round_spread"] for size in tree["sizes"])
    lines.append(f"- The medians of rounds moved by up to {spread:.0%}.")
    return "\n".join(lines) + "\n"


def int8_table() -> str:
    """What shipped after plain training and after training in int8 arithmetic, and what it lost."""
    bundles = load("student")["int8"]
    lines = [*shipped_lines(bundles), ""]
    for name, bundle in bundles.items():
        drift, rows = bundle["drift"], {key: bundle[key]["micro_f1"] for key in ("fp32", "int8")}
        lines.append(
            f"- {name}: {drift['flipped']} of {drift['decisions']} dev decisions flip with the fp32 thresholds, "
            f"{drift['flipped_refitted']} with the int8 file's own; dev micro-F1 {rows['fp32']:.3f} in fp32, "
            f"{rows['int8']:.3f} in int8."
        )
    return "\n".join(lines) + "\n"


def times_table() -> str:
    """Every runtime's time for the same calls, over the shipped int8 file's."""
    report = measured()
    own = report.own.timings[0].p50.value
    lines = [
        "| | p50 ms [95 %] | p90 ms | p99 ms | p50 / ours | cold start s | peak MB | disk MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report.rows:
        timing = row.timings[0]
        tail = " | ".join("–" if q is None else f"{q.value:.1f}" for q in (timing.p90, timing.p99))
        lines.append(
            f"| {row.name} | {estimate(timing.p50)} | {tail} | {timing.p50.value / own:.2f} "
            f"| {row.cold.total_ms / 1e3:.2f} | {row.memory.peak_bytes / 1e6:.0f} | {row.size_bytes / 1e6:.1f} |"
        )
    m, c, timing = report.machine, report.conditions, report.own.timings[0]
    packages = ("torch", "onnxruntime", "openvino", "nncf", "optimum")
    lines += [
        "",
        f"- {m.cpu} ({m.int8_target}), {m.cores} cores, {timing.threads} thread, batch {timing.batch}, "
        f"{timing.calls} calls each in interleaved rounds of the same {c.calls_a_round} examples, picture file to "
        "labels.",
        f"- {', '.join(f'{name} {c.packages[name]}' for name in packages)}. {noise_sentence(report)}",
    ]
    return "\n".join(lines) + "\n"


def grid_table(grid: Grid | None) -> str:
    """One of the benchmark's tables, with its title."""
    assert grid is not None
    return f"**{grid.title}**\n\n{grid.to_markdown()}"


def stages_table() -> str:
    """Where the time goes."""
    return grid_table(stages(measured()))


def scaling_table() -> str:
    """Threads and batches."""
    return grid_table(scaling(measured()))


def memory_table() -> str:
    """Memory above the imports."""
    return grid_table(memory(measured()))


def limit_table() -> str:
    """How near to the machine's own products."""
    return grid_table(limit(measured()))


def precisions_table() -> str:
    """fp32, int8 and 4 bits of the same students."""
    return "\n".join(shipped_lines(load("export")["bundles"])) + "\n"


def tried_table() -> str:
    """All that was tried for the first Bundle."""
    name, bundle = next(iter(load("export")["bundles"].items()))
    lines = [f"| {name} | MB | dev micro-F1 lost | dev micro-AP lost | time / fp32 |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {tried_cells(tried)} |" for tried in bundle["tried"]]
    return "\n".join(lines) + "\n"


def coverage_table() -> str:
    """Shares in few bits, by tower."""
    bundles = load("export")["bundles"]
    lines = ["| | text: products, weights | picture | head |", "|---|---:|---:|---:|"]
    for name, bundle in bundles.items():
        reached = (Reach(**bundle["coverage"][tower]) for tower in TOWERS)
        cells = (f"{reach.macs:.1%}, {reach.weights:.1%}" for reach in reached)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def devices_table() -> str:
    """The Bundles' own answers, given again on other processors."""
    lines = [
        "| Bundle | made for | replayed on | int8 instructions | logits differ by | allowed | flipped | |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for row in load("export")["verified"]:
        here = row["here"]
        lines.append(
            f"| {row['bundle']} | {row['target']} | {here['target']} | {here['int8 instructions']} "
            f"| {row['drift']:.1e} | {row['tolerance']:.1e} | {row['flipped']} of {row['decisions']} "
            f"| {'verified' if row['passed'] else 'NOT verified'} |"
        )
    return "\n".join(lines) + "\n"


def faults_table() -> str:
    """What was broken while it wrote."""
    lines = ["| | killed before an operation | killed in a write | out of room |", "|---|---:|---:|---:|"]
    faults = load("reliability")["faults"]
    for what, ends in faults.items():
        lines.append(f"| {what} | {ends['killed']} | {ends['torn']} | {ends['full']} |")
    total = [sum(ends[kind] for ends in faults.values()) for kind in ("killed", "torn", "full")]
    lines.append("| all, survived | " + " | ".join(map(str, total)) + " |")
    return "\n".join(lines) + "\n"


def inputs_table() -> str:
    """What was fed in."""
    tree = load("reliability")
    lines = ["| | tried | wrong |", "|---|---:|---:|"]
    lines += [f"| {what} | {count} | 0 |" for what, count in tree["inputs"].items()]
    m = tree["mutants"]
    tried = m["answered"] + m["refused"] + sum(m["other"].values())
    lines.append(
        f"| mutants of a Bundle, checksums mended, {m['seconds']} s | {tried} ({m['refused']} refused) "
        f"| {sum(m['other'].values())} |"
    )
    return "\n".join(lines) + "\n"


def long_table() -> str:
    """A hundred thousand items."""
    run = load("reliability")["long"]
    peaks = ", ".join(f"{value:.0f} MB at {share}" for share, value in run["peak_rss_mb"].items())
    same = "the same bytes as" if run["same_bytes_after_kill"] else "OTHER bytes than"
    return (
        f"{run['items']:,} items with the demo's Bundle on one thread: {run['seconds']:.0f} s, "
        f"{run['items_per_second']:.0f} a second, largest memory {peaks}. Killed after {run['killed_after']:,} "
        f"answers and resumed, it ends with {same} the unbroken run. Eight threads on one Predictor give the "
        "answers of one.\n"
    )


def found_table() -> str:
    """What was wrong before."""
    lines = ["| before | now |", "|---|---|"]
    lines += [f"| {row['what']} | {row['now']} |" for row in load("reliability")["found"]]
    return "\n".join(lines) + "\n"


def open_list() -> str:
    """What is not mended."""
    return "".join(f"- {text}\n" for text in load("reliability")["open"])


def shipped_lines(bundles: dict[str, Any]) -> list[str]:
    """The heading and a row for each Bundle: the file that shipped."""
    return [
        "| student | what shipped | MB | dev micro-F1 lost | dev micro-AP lost | time / fp32 |",
        "|---|---|---:|---:|---:|---:|",
        *(f"| {name} | {tried_cells(bundle['tried'][0])} |" for name, bundle in bundles.items()),
    ]


def tried_cells(tried: dict[str, Any]) -> str:
    """One quantised file: scheme, size, losses, time."""
    ends = tried["dev_micro_f1_drop_interval"]
    return (
        f"{tried['scheme']} | {tried['size_bytes'] / 1e6:.1f} "
        f"| {tried['dev_micro_f1_drop']:+.3f} [{ends['low']:+.3f}, {ends['high']:+.3f}] "
        f"| {tried['dev_micro_ap_drop']:+.4f} | {tried['time_ratio']:.2f}"
    )


def f1_cells(row: dict[str, Any]) -> str:
    """Micro-F1, macro-F1 with their intervals, and micro-AP."""
    micro, macro = row["micro_f1_interval"], row["macro_f1_interval"]
    return (
        f"{row['micro_f1']:.3f} [{micro['low']:.2f}, {micro['high']:.2f}] "
        f"| {row['macro_f1']:.3f} [{macro['low']:.2f}, {macro['high']:.2f}] | {row['micro_ap']:.3f}"
    )


TABLES = {
    "bench": bench_table,
    "teacher": teacher_table,
    "verdict": verdict_table,
    "halves": halves_table,
    "sizes": sizes_table,
    "int8": int8_table,
    "times": times_table,
    "stages": stages_table,
    "memory": memory_table,
    "scaling": scaling_table,
    "limit": limit_table,
    "precisions": precisions_table,
    "tried": tried_table,
    "coverage": coverage_table,
    "devices": devices_table,
    "teachers": lambda: figures_teacher.teachers_table(load("teachers")),
    "gains": lambda: figures_teacher.gains_table(load("teachers")),
    "epochs": lambda: figures_teacher.epochs_table(load("teachers")["epochs"]),
    "thresholds": lambda: figures_teacher.thresholds_table(load("thresholds")),
    "serving": lambda: figures_serve.load_table(load("serve")),
    "serving memory": lambda: figures_serve.memory_sentence(load("serve")),
    "web": lambda: figures_web.web_table(load("web")),
    "faults": faults_table,
    "inputs": inputs_table,
    "long": long_table,
    "found": found_table,
    "open": open_list,
    "ocr": lambda: figures_ocr.rates(load("ocr")),
    "ocr-f1": lambda: figures_ocr.f1(load("ocr")),
}


def render(page: str, text: str) -> str:
    """The page with its marked parts made again."""
    for name in PAGES[page]:
        start, end = f"<!-- {name}: made by make figures -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            sys.exit(f"{page}: no markers for {name}; put {start.strip()} and {end} around its place")
        text = before + start + TABLES[name]() + end + after
    return text


if __name__ == "__main__":
    (ROOT / "docs" / "front.svg").write_text(front_picture(), encoding="utf-8")
    for page in PAGES:
        path = ROOT / page
        path.write_text(render(page, path.read_text(encoding="utf-8")), encoding="utf-8")
