"""Searches for the smallest student that is not worse, on several datasets, the teacher's figures beside."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench.search import tables
from distill.core.errors import BenchError
from distill.core.settings.schema import build_dataclass
from distill.core.storage.files import read_json
from distill.data.dataset import encode_targets, read_splits
from distill.data.run_folder import SEARCH
from distill.scoring.bootstrap import arm_metrics, out_of_fold_draws
from distill.scoring.probabilities import to_probabilities
from experiments import students
from experiments.results import (
    commit_option,
    conditions,
    figure,
    measured,
    named,
    notes,
    read,
    table,
    write,
)
from experiments.rivals import out_of_fold
from student.search.report import SearchReport

MEMES = "propaganda memes"
DATASETS = (MEMES, "film genres", "harmful memes")
SHIPPED = {  # what the README's benchmark calls the Bundles of these students
    "MiniLM, probe and n-grams": "minilm",
    "static vectors at 128 pixels, probe and n-grams": "static-vectors",
    "DistilBERT, 6 layers, probe and n-grams": "distilbert",
}


@click.command("searches")
@click.option("--data", "datasets", multiple=True, required=True, metavar="DATASET=DIR", help="Repeatable.")
@click.option("--teacher", "teachers", multiple=True, required=True, metavar="DATASET=RUN", help="Repeatable.")
@click.option("--search", "folders", multiple=True, required=True, metavar="DATASET=DIR", help="Repeatable.")
@commit_option
@click.pass_obj
def collect(
    results: Path, datasets: tuple[str, ...], teachers: tuple[str, ...], folders: tuple[str, ...], commit: str
) -> None:
    """Add finished searches, and their teachers' figures on the same rows (searches.json)."""
    data, runs = named(datasets), named(teachers)
    found = measured("searches")
    for name, folder in named(folders).items():
        teacher = _teacher(runs[name], data[name])
        found[name] = {"teacher": teacher, "search": _search(folder), "runs_of_commit": commit}
    write(results, "searches", conditions(), found)


def _search(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = read_json(folder / SEARCH, BenchError)
    for row in tree["rows"]:  # a local folder of an encoder says nothing elsewhere
        row["settings"] = {key: _brief(value) for key, value in row["settings"].items()}
    return tree


def _brief(value: Any) -> Any:
    if not (isinstance(value, str) and "/" in value):
        return value
    return ("static:" if value.startswith("static:") else "") + Path(value).name


def _teacher(run: Path, data: Path) -> dict[str, Any]:
    splits = read_splits(data)
    targets, groups = encode_targets(splits.train, splits.labels), splits.labels.group_columns
    raw = to_probabilities(out_of_fold(run, splits), groups)
    return asdict(arm_metrics(out_of_fold_draws(raw, targets, "balanced", groups)))


def report(dataset: str) -> SearchReport:
    """One dataset's search."""
    tree = dict(read("searches")[dataset]["search"])
    for more in ("distill", "measured", "caveat"):
        del tree[more]
    return build_dataclass(SearchReport, tree, "search")


def found(dataset: str) -> str:
    """All candidates of a search, the recommended one first, and why."""
    of, teacher = report(dataset), read("searches")[dataset]["teacher"]
    f1, macro, ap = (f"{teacher[key]['value']:.3f}" for key in ("micro_f1", "macro_f1", "micro_ap"))
    beside = f"The teacher out of fold on the same examples: micro-F1 {f1}, macro-F1 {macro}, micro-AP {ap}."
    return f"{tables.candidates(of).to_markdown()}{notes(beside, *tables.sentences(of))}"


def memes_out_of_fold() -> str:
    """The students of the README's benchmark and their teacher on the whole training split of the memes."""
    teacher = read("searches")[MEMES]["teacher"]
    own = ("teacher", *(figure(teacher[kind]) for kind in ("micro_f1", "macro_f1", "micro_ap")))
    return table(f" | {students.F1}", [own, *students.start_rows(MEMES, SHIPPED)])
