"""What distillation and smaller students cost: docs/results-student.md, and the teacher's table in README.md.

teacher.json, verdict-six.json and verdict-three.json are the metrics.json of their runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bench.report.types import BenchReport
from bench.report.types import read as read_report
from distill.core.errors import BenchError, RunError
from distill.core.storage.files import read_json, write_json
from distill.data.run_folder import METRICS, read_run
from experiments import results
from experiments.results import PATH, f1_cells, figure, measured, named, notes, processor, read, table

F1 = "micro-F1 [95 %] | macro-F1 [95 %] | micro-AP"
VERDICTS = {"6 layers": "verdict-six", "3 layers": "verdict-three"}
ARMS = {"teacher": "teacher", "distilled": "student, distilled", "control": "the same, labels alone"}
PARTS = ARMS | {"gain": "distilled - control", "retention": "distilled / teacher"}
ROWS = {
    "out-of-fold train, thresholds cross-fitted": "both",
    "out-of-fold train, text alone": "text alone",
    "out-of-fold train, image alone": "image alone",
    "dev, not fitted on": "dev",
    "dev, thresholds cross-fitted": "dev",  # of a run without folds
}
MEMES = (
    "propaganda memes, static vectors, frozen teacher",
    "propaganda memes, static vectors from a probe, frozen teacher",
    "propaganda memes, static vectors from a probe, frozen teacher, harmful memes unlabelled",
    "propaganda memes, MiniLM from a probe, frozen teacher",
)
HARMFUL = (
    "harmful memes, MiniLM from a probe, fine-tuned teacher",
    "harmful memes, static vectors from a probe, frozen teacher",
)
UNLABELLED = "static vectors, frozen teacher, unlabelled posts"
MINILM = "MiniLM, fine-tuned teacher"
MINILM_UNLABELLED = "MiniLM from a probe, fine-tuned teacher, unlabelled posts"
FILMS = (
    *(MINILM_UNLABELLED, MINILM),
    "static vectors from a probe, texts alone, fine-tuned teacher, unlabelled posts",
    "static vectors from a probe, frozen teacher, unlabelled posts",
    *("static vectors, frozen teacher", UNLABELLED, "static vectors, fine-tuned teacher"),
    *("3 layers, fine-tuned teacher", "3 layers, frozen teacher"),
)
FEW = (
    *("a quarter of the labels, from a random head", "half of the labels, from a random head"),
    *("a quarter of the labels, from a probe", "half of the labels, from a probe"),
)
FIGURES = ("examples", "micro_f1", "macro_f1", "micro_ap")


@click.command("sizes")
@click.option("--size", "runs", multiple=True, required=True, metavar="NAME=RUN", help="A student. Repeatable.")
@click.option("--bench", required=True, type=PATH, metavar="FILE", help="JSON of `distill bench` on their Bundles.")
@click.pass_obj
def collect(folder: Path, runs: tuple[str, ...], bench: Path) -> None:
    """Lay students' settings, F1, bytes and times side by side (student.json).

    The benchmark names the Bundle of the student NAME "(NAME-bundle)". Nothing is measured.
    """
    report = read_report(bench)
    timing = report.rows[0].timings[0]
    measured_on = {
        **{key: getattr(report.machine, key) for key in ("cpu", "int8_target", "cores", "system")},
        **{key: getattr(timing, key) for key in ("threads", "batch", "calls")},
        **{key: getattr(report.conditions, key) for key in ("python", "distill", "packages", "split", "examples")},
    }
    students = [student(name, run, report) for name, run in named(runs).items()]
    write_json(folder / "student.json", {"conditions": measured_on, "sizes": students})


def student(name: str, run: Path, report: BenchReport) -> dict[str, Any]:
    """One row of the table of sizes."""
    rows = [row for row in report.rows if f"({name}-bundle)" in row.name]
    if len(rows) != 1:
        raise BenchError(f"the benchmark has {len(rows)} rows that are named ({name}-bundle); expected one")
    row, timing, config = rows[0], rows[0].timings[0], read_run(run)["config"]
    text, image = config["text"], config["image"]
    quality = {
        ROWS[part["what"]]: {key: part[key] for key in FIGURES}
        for part in read_json(run / METRICS, RunError)["quality"]
        if part["what"] in ROWS
    }
    random = image["weights"] == "" and not Path(image["model"]).is_dir()  # measured for its time and bytes alone
    return {
        "name": name,
        "settings": {
            **{"layers": text["layers"], "vocabulary": text["vocab_size"]},
            **{"image": Path(image["model"]).name, "size": image["size"]},
            **{"epochs": config["epochs"], "distill": config["distill"]},
        },
        "quality": {} if random else quality,
        "latency": {
            "p50_ms": timing.p50.value,
            "p90_ms": timing.p90.value if timing.p90 else None,
            "peak_rss_bytes": row.memory.peak_bytes,
            "round_spread": timing.round_spread,
        },
        "size_bytes": row.size_bytes,
    }


@click.command("starts")
@results.runs_option
@results.commit_option
@click.pass_obj
def collect_starts(folder: Path, folders: tuple[str, ...], commit: str) -> None:
    """Add students that begin in different ways, by "DATASET/NAME=RUN" (student-starts.json)."""
    found = measured("student-starts")
    for name, run in named(folders).items():
        dataset, _, start = name.partition("/")
        tree = read_json(run / METRICS, RunError)
        whole = {key: tree["quality"][0][key] for key in ("what", *FIGURES)}
        own = {"quality": whole, "constant": tree["constant"], "settings": _settings(run)}
        found.setdefault(dataset, {})[start] = own | {"runs_of_commit": commit}
    results.write(folder, "student-starts", results.conditions(), found)


def starts(dataset: str) -> str:
    """Students that begin in different ways, out of fold, beside the constant predictor."""
    return table(f" | {F1}", start_rows(dataset, {name: name for name in read("student-starts")[dataset]}))


def start_rows(dataset: str, names: dict[str, str]) -> list[tuple[str, ...]]:
    """The rows of these students, whose names are given with what to call them, and of the constant predictor."""
    found = read("student-starts")[dataset]
    constant = next(iter(found.values()))["constant"]
    always = (f"{constant['micro_f1']:.3f}", f"{constant['macro_f1']:.3f}", "")
    rows = [(shown, *f1_cells(found[name]["quality"])) for name, shown in names.items()]
    return [*rows, (f"always {', '.join(constant['names'])}", *always)]


@click.command("verdicts")
@results.runs_option
@results.commit_option
@click.pass_obj
def collect_verdicts(folder: Path, folders: tuple[str, ...], commit: str) -> None:
    """Add the verdicts of students that were trained with --control (control-verdicts.json)."""
    found = measured("control-verdicts")
    found |= {name: _verdict(run) | {"runs_of_commit": commit} for name, run in named(folders).items()}
    results.write(folder, "control-verdicts", results.conditions(), found)


def _verdict(folder: Path) -> dict[str, Any]:
    return {"distillation": read_json(folder / METRICS, RunError)["distillation"], "settings": _settings(folder)}


def _settings(folder: Path) -> dict[str, Any]:
    config = read_run(folder)["config"]
    text = config["text"]
    return {
        **{"epochs": config["epochs"], "layers": text["layers"], "max_tokens": text["max_tokens"]},
        **{name: Path(config[name]["model"]).name for name in ("text", "image")},
        **{key: config[key] for key in ("head_start", "learning_rate", "head_learning_rate", "batch_size")},
        **{"ngrams": text.get("ngrams", "off"), "lowercase": text["lowercase"], "size": config["image"]["size"]},
        "distill": config["distill"],
    }


def control_verdicts(*names: str) -> str:
    """Teacher, distilled student and control of these experiments."""
    rows, lines = [], []
    for name in names:
        own, sentence = _verdict_rows(name, read("control-verdicts")[name]["distillation"])
        rows += own
        lines.append(sentence)
    return table(f" | {F1} [95 %]", rows) + notes(*lines)


def teacher() -> str:
    """The teacher's figures, out of fold and on dev, beside the constant predictor's."""
    quality, constant = read("teacher")["quality"], read("teacher")["constant"]
    rows = [(row["what"], str(row["examples"]), *f1_cells(row)) for row in quality]
    always = (f"{constant['micro_f1']:.3f}", f"{constant['macro_f1']:.3f}", "")
    name = f"out-of-fold train, always {', '.join(constant['names'])}"
    return table(f" | examples | {F1}", [*rows, (name, str(quality[0]["examples"]), *always)])


def verdicts() -> str:
    """Teacher, distilled student and control of each control experiment, and the verdict."""
    rows, lines = [], []
    for name, file in VERDICTS.items():
        own, sentence = _verdict_rows(name, read(file)["distillation"])
        rows += own
        lines.append(sentence)
    return table(f" | {F1} [95 %]", rows) + notes(*lines)


def _verdict_rows(name: str, verdict: dict[str, Any]) -> tuple[list[tuple[str, ...]], str]:
    """The rows of one control experiment, and what it comes to."""
    rows = []
    for part, what in PARTS.items():
        keys = ("micro_f1", "macro_f1", "micro_ap") if part in ARMS else ("micro", "macro", "micro_ap")
        if verdict[part]:
            rows.append((f"{name}: {what}", *(figure(verdict[part].get(key)) for key in keys)))
    return rows, f"{name}: {verdict['sentence']}."


def halves() -> str:
    """What each half of a post is worth alone, out of fold."""
    whole = [size for size in read("student")["sizes"] if "both" in size["quality"] and _keeps_words(size)]
    rows = [
        (f"{size['name']}, {what}", *f1_cells(size["quality"][what]))
        for size in whole
        for what in ("both", "text alone", "image alone")
    ]
    return table(f" | {F1}", rows)


def sizes() -> str:
    """Each smaller student: its cost in F1, its gain in bytes and milliseconds."""
    tree, rows = read("student"), []
    for size in tree["sizes"]:
        s, both, dev = size["settings"], size["quality"].get("both"), size["quality"].get("dev")
        # Pruning keeps the words of the whole training split: figures out of fold cannot show what it costs.
        whole = f1_cells(both) if both and _keeps_words(size) else ("–" if _keeps_words(size) else "see dev",) * 3
        rows.append(
            (
                *(size["name"], str(s["layers"] or "all 6"), str(s["vocab_size"] or "all")),
                *(f"{s['image']}, {s['size']}", *whole),
                *((f"{dev['micro_f1']['value']:.3f}", f"{dev['micro_ap']:.3f}") if dev else ("–", "–")),
                *(f"{size['size_bytes'] / 1e6:.1f}", f"{size['latency']['p50_ms']:.1f}"),
            )
        )
    c, spread = tree["conditions"], max(size["latency"]["round_spread"] for size in tree["sizes"])
    headings = f"student | layers | words kept | image | {F1} | dev micro-F1 | dev micro-AP | int8 MB | int8 p50 ms"
    return table(headings, rows) + notes(
        f"F1 and AP out of fold on the training split, and on dev ({c['examples']} memes).",
        f"Times: {processor(c)}, {c['calls']} calls each in interleaved rounds, batch {c['batch']}, {c['threads']} "
        "thread, image file to labels.",
        f"The medians of rounds moved by up to {spread:.0%}.",
    )


def _keeps_words(size: dict[str, Any]) -> bool:
    return not size["settings"]["vocab_size"]
