"""`distill predict`: labels and probabilities as JSON lines."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import BUNDLE, IMAGE, THREADS, column_options, opening_options
from distill.core.columns import Columns
from distill.core.runtimes import Provider, Runtime

OTHER_FORMATS = (".csv", ".tsv", ".parquet")  # whose readers would not understand JSON Lines


@click.command()
@click.argument("bundle", type=BUNDLE)
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option("--image", type=IMAGE, metavar="FILE", help="Predict one image.")
@click.option("--text", default="", help="Text of that image, or a text without an image.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="File to write instead of standard output."
)
@click.option("--ocr", is_flag=True, help="Read the text off images that come without one.")
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@click.option("--threads", default=0, show_default="CPUs available", type=THREADS, help="Number of threads.")
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
@opening_options
@column_options
def predict(
    bundle: Path,
    source: Path | None,
    image: Path | bytes | None,
    text: str,
    out: Path | None,
    ocr: bool,
    resume: bool,
    threads: int,
    engine: str,
    workers: int,
    ray_address: str | None,
    provider: Provider,
    runtime: Runtime | None,
    columns: Columns,
) -> None:
    """Predict labels and probabilities as JSON lines.

    SOURCE is a file of rows (.jsonl, .json, .csv, .tsv, .parquet) or a folder of images, where the text of a.jpg is
    read from a.txt. A row may lack its text or its image. A row that cannot be read gets a line with an "error",
    the others are predicted, and the exit code is 1.

    With --out, an interrupted run continues from OUT.part with --resume. With --ocr, the text read off an image is
    added as "ocr_text". With --engine ray, OUT is a folder with a file for each block of rows.

    \b
    Examples:
      distill predict runs/bundle --image meme.jpg --text "WHO DID THIS"
      distill predict runs/bundle posts.jsonl --out predictions.jsonl
      distill predict runs/bundle images/ --ocr
      distill predict someone/meme-student@v1 --image meme.jpg      # a Bundle on the Hugging Face hub
      distill predict runs/bundle posts.parquet --out predictions/ --engine ray --workers 8
    """
    single = image is not None or text.strip() != ""
    if single == (source is not None):
        raise click.UsageError(
            "give either --image FILE and --text TEXT, or one of them, or a SOURCE (a .jsonl, .csv, .json or "
            ".parquet file, or a folder)"
        )
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
    if out is not None and engine == "local" and out.suffix.lower() in OTHER_FORMATS:
        raise click.UsageError(
            f"--out {out}: predictions are written as JSON Lines; name it {out.with_suffix('.jsonl').name}"
        )
    from distill.data.dataset import Example
    from distill.data.roles import Ask
    from distill.data.sources import Source
    from distill.runtime.ocr.reader import TextReader
    from distill.runtime.opened import RunOptions
    from distill.runtime.predictions import predict_source
    from distill.runtime.predictor import Predictor

    name = image.name if isinstance(image, Path) else "text" if image is None else "image"
    items = (
        Source.open(source, Ask(columns, wants_labels=False))
        if source
        else Source.of(Example(name, text, image, ()))
    )
    opening = RunOptions(provider=provider, runtime=runtime)
    if engine == "ray" and out is not None:
        from distill.runtime.ray.predict import predict_on_ray
        from distill.runtime.ray.session import RayOptions

        failed_rows = predict_on_ray(bundle, items, out, resume, RayOptions(workers, threads, ray_address, opening))
    else:
        predictor = Predictor.load(bundle, threads, opening)
        items = items.remembering(predictor.bundle.columns)
        failed_rows = predict_source(predictor, items, out, resume, TextReader(threads) if ocr else None)
    if failed_rows:
        click.echo(f"error: {failed_rows} row(s) could not be read; their lines say why", err=True)
        click.get_current_context().exit(1)
