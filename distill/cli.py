"""The command line: one thin command each. Imports what is slow inside the commands."""

from __future__ import annotations

import os
from pathlib import Path

import click

from distill import __version__
from distill.cli_bench import bench
from distill.cli_data import data
from distill.cli_explain import explain
from distill.cli_export import export
from distill.cli_inspect import inspect
from distill.cli_options import BUNDLE, NEW_FOLDER, THREADS, checked, data_option
from distill.cli_retrain import retrain
from distill.cli_serve import serve
from distill.cli_training import compare_teachers, finetune_int8, train_student, train_teacher
from distill.cli_tune import tune
from distill.commands import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="distill")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Train a teacher, distil a student, export it as int8 ONNX, and measure them all on a CPU.

    \b
    distill train-teacher --data DIR --out runs/teacher
    distill train-student --data DIR --teacher runs/teacher --out runs/student
    distill export runs/student --data DIR --int8 --out runs/bundle
    distill bench runs/bundle --data DIR --against runs/teacher --against runs/student
    distill predict runs/bundle --image meme.jpg --text "..."

    To see all of it work on generated data, without any download: distill demo
    """
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun and accelerate launch say so
        # torch would say to each process that all parameters are used, where they are: training/_arguments.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from distill.processes import start

        start(str(ctx.invoked_subcommand))


def run() -> None:
    """What the `distill` script calls."""
    main(prog_name="distill")


@main.command()
@click.argument("folder", metavar="RUN_OR_BUNDLE", type=BUNDLE)
@data_option
@click.option("--split", default="dev", show_default=True, type=click.Choice(["train", "dev", "test"]))
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures to this JSON file.")
def evaluate(folder: Path, data: Path, split: str, out: Path | None) -> None:
    """Micro- and macro-F1 with intervals, and every label, beside the constant predictor.

    \b
    Example:
      distill evaluate runs/bundle --data memes/ --split test
    """
    splits = checked(data, folder)
    from bench.quality import judge, show
    from bench.serving import open_variant
    from bench.task import Task
    from bench.variants import resolve

    task = Task.of(splits, split)
    judged = judge(open_variant(resolve(folder)), task)
    show(judged, task)
    if out is not None:
        from dataclasses import asdict

        from distill.files import write_json

        write_json(out, asdict(judged))


@main.command()
@click.argument("bundle", type=BUNDLE)
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="One picture.")
@click.option("--text", default="", help="The text on that picture, or a text without a picture.")
@click.option("--out", type=click.Path(path_type=Path), help="Write JSON lines here and not to standard output.")
@click.option("--ocr", is_flag=True, help="Read the text off the picture of a row that has none.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, from OUT.part.")
@click.option("--threads", default=0, show_default="all cores", type=THREADS)
@click.option(
    "--engine",
    default="local",
    show_default=True,
    type=click.Choice(["local", "ray"]),
    help="This process, or Ray's workers.",
)
@click.option("--workers", default=0, show_default="a core each", type=click.IntRange(0), help="With --engine ray.")
@click.option("--ray-address", envvar="RAY_ADDRESS", help="A cluster that runs; otherwise Ray starts here.")
def predict(
    bundle: Path,
    source: Path | None,
    image: Path | None,
    text: str,
    out: Path | None,
    ocr: bool,
    resume: bool,
    threads: int,
    engine: str,
    workers: int,
    ray_address: str | None,
) -> None:
    """Labels and probabilities as JSON lines, for one picture, a file of rows, or a folder of pictures.

    A row that cannot be read gets a line with an "error"; the others are answered, and the exit code is 1.
    In a folder, the text of a.jpg is looked for in a.txt. A post may lack its text or its picture.
    With --out, answers grow in OUT.part; an interrupted run goes on there with --resume.
    With --ocr, an answer that rests on a text read off the picture says it as "ocr_text".
    With --engine ray, workers on this machine or a cluster write a folder OUT, a file for each block of rows.

    \b
    Examples:
      distill predict runs/bundle --image meme.jpg --text "WHO DID THIS"
      distill predict runs/bundle posts.jsonl --out answers.jsonl
      distill predict runs/bundle pictures/ --ocr
      distill predict someone/meme-student@v1 --image meme.jpg      # a Bundle on the Hugging Face hub
      distill predict runs/bundle posts.parquet --out answers/ --engine ray --workers 8
    """
    single = image is not None or text.strip() != ""
    if single == (source is not None):
        raise click.UsageError(
            "give either --image FILE and --text TEXT, or one of them, or a SOURCE (a .jsonl, .csv, .json or "
            ".parquet file, or a folder)"
        )
    if resume and (source is None or out is None):
        raise click.UsageError("--resume goes on with the answers to a SOURCE in --out FILE; give both")
    if engine == "ray" and (source is None or out is None):
        raise click.UsageError("--engine ray answers a SOURCE into a folder --out OUT; give both")
    if engine == "ray" and ocr:
        raise click.UsageError(
            "--ocr reads in one process; fill the texts with distill data ocr, then use --engine ray"
        )
    if workers and engine != "ray":
        raise click.UsageError("--workers are those of --engine ray; for one process there is --threads")
    from distill.data import Example
    from export.answers import answer_all, answer_one
    from export.ocr import TextReader
    from export.runtime import Predictor

    if engine == "ray" and source is not None and out is not None:
        from export.cluster import answer_on_ray
        from export.pool import Pool

        faults = answer_on_ray(bundle, source, out, resume, Pool(workers, threads, ray_address))
    else:
        predictor = Predictor.load(bundle, threads)
        reader = TextReader(threads) if ocr else None
        if source is None:
            faults = answer_one(predictor, Example(image.name if image else "text", text, image, ()), out, reader)
        else:
            faults = answer_all(predictor, source, out, resume, reader)
    if faults:
        click.echo(f"error: {faults} row(s) could not be read; their lines say why", err=True)
        click.get_current_context().exit(1)


@main.command()
@click.argument("bundle", type=BUNDLE)
@click.option("--threads", default=0, show_default="all cores", type=THREADS)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures to this JSON file.")
def verify(bundle: Path, threads: int, out: Path | None) -> None:
    """Ask a Bundle on this machine what it was asked where it was made, and compare the answers.

    Exits with 1 when texts become other tokens, or when a logit moved by more than quantising itself moved it.

    \b
    Example:
      distill verify runs/bundle
    """
    from export import golden
    from export.runtime import Predictor

    answer = golden.replay(Predictor.load(bundle, threads))
    if out is not None:
        from dataclasses import asdict

        from distill.files import write_json

        write_json(out, asdict(answer) | {"passed": answer.passed, "bundle": bundle.name})
    if not golden.show(answer, str(bundle)):
        click.get_current_context().exit(1)


@main.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=NEW_FOLDER, help="A new folder for the three files.")
@click.option("--seed", default=13, show_default=True, help="The same seed gives the same split.")
def split(source: Path, out: Path, seed: int) -> None:
    """Divide one labelled file 70/15/15 into train, dev and test, every label in its proportion.

    \b
    Example:
      distill split all.json --out memes/
    """
    from distill.split_files import split_file
    from distill.terminal import note

    sizes = split_file(source, out, seed)
    note(f"{out}: {sizes[0]} train, {sizes[1]} dev, {sizes[2]} test; how it was made stands in split.json")


@main.command()
@click.option(
    "--out", default="demo", show_default=True, type=click.Path(path_type=Path), help="A folder for it all."
)
def demo(out: Path) -> None:
    """The whole chain on generated pictures with tiny random encoders: offline, in minutes on two cores.

    \b
    Example:
      distill demo
    """
    from distill.demo import run_demo

    run_demo(out)


for command in (
    train_teacher,
    retrain,
    compare_teachers,
    tune,
    train_student,
    finetune_int8,
    export,
    inspect,
    bench,
    data,
    explain,
    serve,
):
    main.add_command(command)

if __name__ == "__main__":
    run()
