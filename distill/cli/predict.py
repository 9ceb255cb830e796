"""`distill predict`: labels and probabilities as JSON lines or as a table."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.exits import exits
from distill.cli.groups import say_error
from distill.cli.options import (
    BUNDLE,
    IMAGE,
    ROWS,
    STDOUT,
    THREADS,
    abstain_option,
    column_options,
    opening_options,
    overwrite_option,
)
from distill.core.errors import ExitCode
from distill.core.machine.cores import MAX_BATCH
from distill.core.machine.runtimes import Provider, Runtime
from distill.core.settings.columns import Columns

WRITTEN = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


@click.command()
@exits({1: "some rows could not be read; their lines say why"})
@click.argument("bundle", type=BUNDLE)
@click.argument("source", required=False, type=ROWS)
@click.option("--image", type=IMAGE, metavar="FILE", help="Predict one image.")
@click.option("--text", default="", help="Text of that image, or a text without an image.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write instead of standard output, which is - too.",
)
@click.option("--split", type=click.Choice(["train", "dev", "test"]), help="Split of a dataset to predict for.")
@overwrite_option
@click.option("--recursive", is_flag=True, help="Read the folders in SOURCE, a folder of images, as well.")
@click.option("--ocr", is_flag=True, help="Read the text off images that come without one.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@click.option(
    "--threads", default=0, show_default="CPUs available", type=THREADS, help="Posts that run side by side."
)
@click.option(
    "--batch",
    default=0,
    show_default="1, on a GPU 16",
    type=click.IntRange(0, MAX_BATCH),
    help="Posts that a thread runs together: quicker by a little, and their answers may depend on each other.",
)
@click.option(
    "--engine",
    default="local",
    show_default=True,
    type=click.Choice(["local", "ray"]),
    help="Run in this process, or on Ray workers.",
)
@click.option(
    "--workers", default=0, show_default="a core each", type=click.IntRange(0), help="Number of Ray workers."
)
@click.option(
    "--ray-address", envvar="RAY_ADDRESS", metavar="ADDRESS", help="Ray cluster to use.  [default: this machine]"
)
@click.option("--raw", is_flag=True, help="Probabilities as they were before calibration; the labels are the same.")
@abstain_option
@opening_options
@column_options
def predict(
    bundle: Path,
    source: Path | None,
    image: Path | bytes | None,
    text: str,
    out: Path | None,
    split: str | None,
    overwrite: bool,
    recursive: bool,
    ocr: bool,
    resume: bool,
    threads: int,
    batch: int,
    engine: str,
    workers: int,
    ray_address: str | None,
    raw: bool,
    abstain: float | None,
    provider: Provider,
    runtime: Runtime | None,
    columns: Columns,
) -> None:
    """Predict labels and probabilities.

    SOURCE is a file of rows (.jsonl, .json, .csv, .tsv, .parquet), - for rows on standard input, an image, a folder
    of images, where the text of a.jpg is read from a.txt, or with --split a dataset's folder, or OWNER/NAME on the
    Hugging Face hub. A row may lack its text or its image. A row that cannot be read gets a line with an "error",
    the others are predicted, and the exit code is 1.

    Predictions are JSON lines, or by the suffix of --out a table in CSV, TSV or Parquet, with the columns id,
    labels, a probability for each label, and error. With --out, an interrupted run continues from OUT.part with
    --resume. With --ocr, the text read off an image is added as "ocr_text". With --engine ray, OUT is a folder with
    a file for each block of rows. With --abstain 0.9, at least 90 % of the labels of an answered post are right, on
    posts like those of the training, and "ask" is true, and labels empty, where the model is not sure enough.

    \b
    Examples:
      distill predict runs/bundle meme.jpg
      distill predict runs/bundle --image meme.jpg --text "WHO DID THIS"
      distill predict runs/bundle posts.jsonl --out predictions.jsonl
      distill predict runs/bundle posts.csv --out predictions.csv
      distill predict runs/bundle posts.csv --out predictions.csv --abstain 0.9
      distill predict runs/bundle images/ --recursive --ocr
      distill predict runs/bundle - < posts.jsonl | head
      distill predict someone/meme-student@v1 --image meme.jpg      # a Bundle on the Hugging Face hub
      distill predict runs/bundle posts.parquet --out predictions/ --engine ray --workers 8
    """
    from distill.data.image_names import IMAGE_SUFFIXES

    if source is not None and image is None and text.strip() and source.suffix.lower() in IMAGE_SUFFIXES:
        image, source = source, None
    out = None if str(out) == STDOUT else out
    single = image is not None or text.strip() != ""
    if single == (source is not None):
        raise click.UsageError(
            "give either --image FILE and --text TEXT, or one of them, or a SOURCE (an image, a .jsonl, "
            ".csv, .json or .parquet file, a folder, or - for rows on standard input)"
        )
    if split and source is None:
        raise click.UsageError("--split names the part of a SOURCE; give both")
    if resume and (source is None or out is None):
        raise click.UsageError("--resume goes on with the predictions for a SOURCE in --out FILE; give both")
    if engine == "ray" and (source is None or out is None):
        raise click.UsageError("--engine ray predicts for a SOURCE into a folder --out OUT; give both")
    if engine == "ray" and ocr:
        raise click.UsageError(
            "--ocr reads in one process; fill the texts with distill data ocr, then use --engine ray"
        )
    if workers and engine != "ray":
        raise click.UsageError("--workers are those of --engine ray; for one process there is --threads")
    if recursive and (source is None or not source.is_dir() or split):
        what = f"--split names files of {source}" if split else f"{source or 'one post'} is no folder"
        raise click.UsageError(
            f"--recursive reads the folders in a folder of images, and {what}; leave out --recursive"
        )
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other; give one of them")
    if out is not None and engine == "local" and out.suffix and out.suffix.lower() not in WRITTEN:
        raise click.UsageError(
            f"--out {out}: the suffix must be one of {', '.join(WRITTEN)}; name it {out.with_suffix('.jsonl').name}"
        )
    from distill.core.output.terminal import warn
    from distill.core.storage.files import refuse_overwriting
    from distill.data.dataset import Example
    from distill.data.roles import Ask
    from distill.data.sources import Source
    from distill.runtime.hub_dataset import resolve_dataset
    from distill.runtime.ocr.reader import TextReader
    from distill.runtime.opened import RunOptions
    from distill.runtime.partial_file import clear_output, refuse_output
    from distill.runtime.predictions import predict_source
    from distill.runtime.predictor import Predictor

    name = image.name if isinstance(image, Path) else "text" if image is None else "image"
    ask = Ask(columns, wants_labels=False)
    if source is None:
        items = Source.of(Example(name, text, image, ()))
    else:
        path = resolve_dataset(str(source))
        items = Source.of_split(path, split, ask) if split else Source.open(path, ask, recursive)
    if items.passed_over:
        warn(f"{source}: {items.passed_over}")
    if out is not None:
        refuse_overwriting(out, *(path for path in (bundle, source, image) if isinstance(path, Path)))
    if out is not None and not resume:
        refuse_output(out, overwrite, is_folder=engine == "ray")
    opening = RunOptions(provider=provider, runtime=runtime, batch=batch, raw=raw, abstain=abstain)
    if engine == "ray" and out is not None:
        from distill.runtime.ray.predict import predict_on_ray
        from distill.runtime.ray.session import RayOptions

        options = RayOptions(workers, threads, ray_address, opening)
        failed_rows = predict_on_ray(bundle, items, out, resume, options, overwrite)
    else:
        predictor = Predictor.load(bundle, threads, opening)
        if out is not None and overwrite:
            clear_output(out)
        items = items.remembering(predictor.bundle.columns)
        failed_rows = predict_source(predictor, items, out, resume, TextReader(threads) if ocr else None)
    if failed_rows:
        say_error(f"{failed_rows} row(s) could not be read; their lines say why")
        click.get_current_context().exit(ExitCode.FAILED)
