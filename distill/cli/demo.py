"""`distill demo`: the ordinary commands, one after the other, on generated data."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click

from distill.cli.options import NEW_FOLDER, overwrite_option
from distill.core.settings.recipe import recipes_folder
from distill.core.storage.files import refuse_existing, remove_folder


@click.command()
@click.option(
    "-o",
    "--out",
    default="demo",
    show_default=True,
    type=NEW_FOLDER,
    metavar="FOLDER",
    help="Folder for everything it writes.",
)
@overwrite_option
@click.pass_context
def demo(ctx: click.Context, out: Path, overwrite: bool) -> None:
    """Run the whole chain on generated data, offline.

    Fits baselines, trains, distils, exports, predicts and benchmarks with tiny random encoders, in minutes on two
    cores.

    \b
    Example:
      distill demo
    """
    from distill.core.output.terminal import console, note

    refuse_existing(out, overwrite, lambda folder: (folder / "encoders").is_dir(), "a demo")
    # Here: without torch, this ends before anything is removed.
    from distill.data.dataset import read_splits
    from distill.data.generated import write_demo_data
    from distill.model.demo_encoders import write_demo_encoders

    if out.exists():
        remove_folder(out)
    started = time.perf_counter()
    data = out / "data"
    note(f"generating images in {data} and tiny random encoders in {out / 'encoders'}")

    def step(*arguments: str | Path) -> None:
        words = [str(argument) for argument in arguments]
        console.rule(style="dim")
        note(f"$ distill {shlex.join(words)}")
        if exit_code := ctx.find_root().command.main(words, prog_name="distill", standalone_mode=False):
            ctx.exit(exit_code)

    write_demo_data(data)
    splits = read_splits(data)
    encoders = write_demo_encoders(out / "encoders", [example.text for example in splits.train])
    recipe = ["--recipe", str(recipes_folder() / "tiny.toml")]
    teacher, student, bundle = out / "teacher", out / "student", out / "bundle"
    for_teacher, for_student = (
        [part for key, path in encoders.items() if key.startswith(kind) for part in ("--set", f"{key}={path}")]
        for kind in ("teacher", "student")
    )
    step("baseline", "--data", data, "--out", out / "baseline", *recipe, *for_teacher)
    step("train-teacher", "--data", data, "--out", teacher, *recipe, *for_teacher)
    step("train-student", "--data", data, "--teacher", teacher, "--out", student, *recipe, *for_student)
    step("export", student, "--data", data, "--int8", "--out", bundle, *recipe)
    step("verify", bundle)
    first = splits.test[0]
    step("predict", bundle, "--image", str(first.image), "--text", first.text)
    note(f"  (its true labels: {', '.join(first.labels or ()) or 'none'})")
    step("bench", bundle, "--data", data, "--against", teacher, "--against", student)
    note("")
    note(f"All of it took {time.perf_counter() - started:.0f} s. The encoders are tiny and random: int8 has little")
    note("to win on them, and the figures say that the chain works, not how good it can be. Your own data next:")
    note("  distill baseline --data DIR --out runs/baseline")
