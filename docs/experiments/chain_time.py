"""How long the whole chain takes, with this code and with that of an earlier commit: chain-time.json.

Teacher with folds, student with folds and export, each a command of its own, as users run them. Both codes get the
same recipe, in which every setting whose default has changed between them is written down, and an empty cache.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import click

from distill.core.errors import BenchError
from distill.core.output.terminal import note
from distill.core.storage.files import write_text
from distill.data.dataset import read_splits
from experiments.results import PATH, ROOT, conditions, data_option, distill, notes, processor, read, table, write

STEPS = ("train-teacher", "train-student", "export")
RECIPE = """\
[teacher]
folds = 3
head_start = "random"
epochs = {epochs}
patience = {epochs}
optimizer = "adamw"
learning_rate = 5e-5
head_learning_rate = 5e-4
constant_epochs = {epochs}
decay_per_epoch = 0.0
[teacher.text]
model = {text}
ngrams = "off"
[teacher.image]
model = {image}
[teacher.head]
hidden_size = 256
[student]
out_of_fold = true
head_start = "random"
epochs = {epochs}
patience = {epochs}
optimizer = "adamw"
learning_rate = 5e-5
head_learning_rate = 5e-4
constant_epochs = {epochs}
decay_per_epoch = 0.0
[student.text]
model = {student}
ngrams = "off"
[student.head]
hidden_size = 256
"""


@click.command("chain-time")
@data_option
@click.option("--before", required=True, type=PATH, metavar="DIR", help="A checkout of the earlier code.")
@click.option("--commit", required=True, help="Of the earlier code.")
@click.option("--text", required=True, metavar="MODEL", help="The teacher's text encoder.")
@click.option(
    "--image", default="resnet50", show_default=True, metavar="MODEL", help="The teacher's image encoder."
)
@click.option("--student", required=True, metavar="MODEL", help="The student's text encoder.")
@click.option("--epochs", default=2, show_default=True, help="Of each training; none stops earlier.")
@click.option("--work", required=True, type=PATH, metavar="DIR", help="For the runs; it must not exist.")
@click.pass_obj
def measure(
    results: Path,
    data: Path,
    before: Path,
    commit: str,
    text: str,
    image: str,
    student: str,
    epochs: int,
    work: Path,
) -> None:
    """Time teacher, student and export with the earlier code and with this one (chain-time.json)."""
    work.mkdir(parents=True)
    models = {"text": text, "image": image, "student": student}
    recipe = work / "recipe.toml"
    write_text(recipe, RECIPE.format(epochs=epochs, **{key: f'"{value}"' for key, value in models.items()}))
    took = {}
    for name, code in (("before", before), ("now", ROOT)):
        took[name] = _chain_s(code, data.resolve(), recipe.resolve(), work.resolve() / name)
        note(f"{name}: {', '.join(f'{step} {seconds:.0f} s' for step, seconds in took[name].items())}")
    shown = {key: Path(value).name for key, value in models.items()}
    train = read_splits(data).train
    write(results, "chain-time", conditions(train, before=commit, epochs=epochs, models=shown), {"seconds": took})
    shutil.rmtree(work)


def _chain_s(code: Path, data: Path, recipe: Path, folder: Path) -> dict[str, float]:
    """Seconds of each command. Raises BenchError for one that fails."""
    common = ("--data", data, "--recipe", recipe)
    teacher, student = folder / "teacher", folder / "student"
    words: dict[str, tuple[Any, ...]] = {
        "train-teacher": ("--out", teacher),
        "train-student": ("--teacher", teacher, "--out", student),
        "export": (student, "--int8", "--out", folder / "bundle", "--max-f1-drop", "0.1"),
    }
    seconds = {}
    for step in STEPS:
        started = time.perf_counter()
        process = distill(step, *words[step], *common, code=code, cache=folder / "cache")
        _, said = process.communicate()
        if process.returncode:
            raise BenchError(f"{code}: distill {step} failed: {said.strip().splitlines()[-1]}")
        seconds[step] = time.perf_counter() - started
    return seconds


def chain_time(of: str = "chain-time") -> str:
    """Seconds of each command with either code, and how many times as quick this one is."""
    tree = read(of)
    before, now, c = tree["seconds"]["before"], tree["seconds"]["now"], tree["conditions"]
    rows = [(f"`distill {step}`", before[step], now[step]) for step in STEPS]
    rows.append(("all three", sum(before.values()), sum(now.values())))
    cells = [(name, f"{old:.0f}", f"{new:.0f}", f"{old / new:.2f}") for name, old, new in rows]
    models = c["models"]
    return table(" | before, s | now, s | times as quick", cells) + notes(
        f"{c['examples']} training examples, {c['epochs']} epochs in each of 3 folds and on all; {models['text']} "
        f"and {models['image']} teach {models['student']} and MobileNetV2; the same recipe (adamw, a random head, "
        f"no n-grams) and an empty cache for both; commit {c['before'][:7]} before, {c['git'][:7]} now.",
        f"{processor(c)}, {c['cores']} cores, torch {c['packages']['torch']}; one run each.",
    )
