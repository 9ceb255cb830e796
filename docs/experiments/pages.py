"""Puts the results, and what the code says, into README.md and the pages of docs, each between its two markers."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import click

from distill.core.errors import BenchError
from distill.core.storage.files import write_text
from experiments import (
    abstain,
    baselines,
    campaign,
    chain_time,
    cluster,
    commands,
    cores,
    export,
    formats,
    noisy_answers,
    ocr,
    recipe_keys,
    reliability,
    rivals,
    searches,
    selection,
    serve,
    start,
    static,
    students,
    teachers,
    thresholds,
    training_ways,
    web,
)
from experiments.results import ROOT

PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "bench films": partial(export.headline, export.FILMS),
        "bench memes": partial(export.headline, export.MEMES),
        "memes out of fold": searches.memes_out_of_fold,
        "originals faster": partial(export.grid, "faster", "bench-originals"),
        "originals notes": partial(export.measured_on, "bench-originals"),
        "baselines film genres": partial(baselines.baselines, "film genres"),
        "rivals film genres": partial(rivals.rivals, "film genres"),
        "verdict film genres": partial(students.control_verdicts, students.MINILM_UNLABELLED, students.MINILM),
    },
    "docs/results-student.md": {
        **{f"search {name}": partial(searches.found, name) for name in searches.DATASETS},
        "verdict": students.verdicts,
        "starts propaganda memes": partial(students.starts, "propaganda memes"),
        "starts film genres": partial(students.starts, "film genres"),
        "verdict film genres": partial(students.control_verdicts, *students.FILMS),
        "verdict few labels": partial(students.control_verdicts, *students.FEW),
        "verdict memes": partial(students.control_verdicts, *students.MEMES),
        "verdict harmful memes": partial(students.control_verdicts, *students.HARMFUL),
        "halves": students.halves,
        "sizes": students.sizes,
        "int8": export.int8,
    },
    "docs/results-teacher.md": {
        **{f"baselines {name}": partial(baselines.baselines, name) for name in baselines.DATASETS},
        **{f"static {name}": partial(static.static, name) for name in static.DATASETS},
        **{f"rivals {name}": partial(rivals.rivals, name) for name in rivals.DATASETS},
        "head starts": rivals.head_starts,
        **{f"variants {name}": partial(teachers.variants, name) for name in teachers.VARIANTS},
        "teacher": students.teacher,
        "teachers": partial(teachers.teachers, "fusion"),
        "gains": partial(teachers.gains, "fusion"),
        "choices": partial(teachers.teachers, "choices"),
        "choices gains": partial(teachers.gains, "choices"),
        "epochs": teachers.epochs,
        "thresholds": thresholds.ways,
    },
    "docs/results-export.md": {
        "times": export.times,
        "stages": partial(export.grid, "stages"),
        "memory": partial(export.grid, "memory"),
        **{name: partial(export.grid, name) for name in ("faster", "streams", "scaling", "limit", "peaks")},
        **{
            f"originals {name}": partial(export.grid, name, "bench-originals")
            for name in ("faster", "streams", "scaling", "alone", "stages", "limit", "peaks")
        },
        "originals notes": partial(export.measured_on, "bench-originals"),
        "precisions": export.precisions,
        "tried": export.tried,
        "coverage": export.coverage,
        "devices": export.devices,
    },
    "docs/reliability.md": {
        "faults": reliability.faults,
        "inputs": reliability.inputs,
        "long": reliability.long_sentence,
        "found": reliability.found,
        "open": reliability.still_open,
        "campaign": campaign.sentence,
        "campaign tried": campaign.tried,
    },
    "docs/select.md": {"select": selection.gains, "abstain": abstain.outcomes},
    "docs/teach-from-anything.md": {"noisy answers": noisy_answers.noisy_answers},
    "docs/ocr.md": {"ocr": ocr.rates, "ocr-f1": ocr.f1},
    "docs/cluster.md": {"cluster": cluster.rates, "cost": cluster.costs},
    "docs/web.md": {"web": web.answers},
    "docs/runtimes.md": {"cores": cores.cores, "start": start.start},
    "docs/serve.md": {"serving": serve.loads, "serving memory": serve.memory},
    "docs/training.md": {
        "chain time": chain_time.chain_time,
        "chain time amx": partial(chain_time.chain_time, "chain-time-amx"),
        "ways": training_ways.ways,
    },
    "docs/recipe.md": {"keys": recipe_keys.recipe_keys},
    **{f"docs/formats/{page}.md": {"form": partial(formats.shown, page)} for page in formats.PAGES},
}


def render(page: str, text: str) -> str:
    """The page's text with its tables made again. Raises BenchError where the markers of one are missing."""
    for name, make in PAGES[page].items():
        start, end = f"<!-- {name}: made by make docs -->\n", f"<!-- end of {name} -->"
        content = start + make() + end
        text, count = re.subn(f"{re.escape(start)}.*?{re.escape(end)}", lambda _: content, text, flags=re.DOTALL)  # noqa: B023
        if count != 1:
            raise BenchError(f"{page}: expected one place between {start.strip()} and {end}, found {count}")
    return text


@click.command()
def pages() -> None:
    """Write docs/cli.md, front.svg and select.svg, and the tables of README.md and docs, from docs/results and the
    code."""
    write_text(ROOT / commands.PAGE, commands.page())
    write_text(ROOT / "docs" / "front.svg", export.front())
    write_text(ROOT / "docs" / "select.svg", selection.drawn())
    for page in PAGES:
        path = ROOT / page
        write_text(path, render(page, path.read_text(encoding="utf-8")))
