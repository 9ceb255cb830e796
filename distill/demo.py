"""The demo: the ordinary commands, one after the other, on generated data. Knows the command line only."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from distill.demo_data import write_demo_data
from distill.errors import RunError
from distill.recipe import recipes_folder
from distill.terminal import console, note


def run_demo(out: Path) -> None:
    """Generate data and encoders under `out`, then train, distil, export, verify, predict and measure there.

    Raises RunError when `out` is in the way.
    """
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out}: is not empty; remove it or pass --out with another folder")
    started = time.perf_counter()
    data = out / "data"
    note(f"generating pictures in {data} and tiny random encoders in {out / 'encoders'}")
    write_demo_data(data)
    from distill.data import read_splits
    from distill.demo_backbones import write_demo_backbones

    splits = read_splits(data)
    encoders = write_demo_backbones(out / "encoders", [example.text for example in splits.train])
    recipe = ["--recipe", str(recipes_folder() / "tiny.toml")]
    teacher, student, bundle = out / "teacher", out / "student", out / "bundle"
    for_teacher, for_student = (
        [part for key, path in encoders.items() if key.startswith(kind) for part in ("--set", f"{key}={path}")]
        for kind in ("teacher", "student")
    )
    _step("train-teacher", "--data", data, "--out", teacher, *recipe, *for_teacher)
    _step("train-student", "--data", data, "--teacher", teacher, "--out", student, *recipe, *for_student)
    _step("export", student, "--data", data, "--int8", "--out", bundle, *recipe)
    _step("verify", bundle)
    first = splits.test[0]
    _step("predict", bundle, "--image", str(first.image), "--text", first.text)
    note(f"  (its true labels: {', '.join(first.labels) or 'none'})")
    _step("bench", bundle, "--data", data, "--against", teacher, "--against", student)
    note(
        f"\nAll of it took {time.perf_counter() - started:.0f} s. The encoders are tiny and random: int8 has little"
    )
    note("to win on them, and the figures say that the chain works, not how good it can be. Your own data next:")
    note("  distill train-teacher --data DIR --out runs/teacher")


def _step(*arguments: str | Path) -> None:
    from distill.cli import main

    words = [str(argument) for argument in arguments]
    console.rule(style="dim")
    note(f"$ distill {shlex.join(words)}")
    main(words, prog_name="distill", standalone_mode=False)
