"""`distill predict`: labels and probabilities as JSON lines."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import (
    BUNDLE,
    THREADS,
)


@click.command()
@click.argument("bundle", type=BUNDLE)
@click.argument("source", required=False, type=click.Path(path_type=Path))
@click.option("--image", type=click.Path(path_type=Path), help="One image.")
@click.option("--text", default="", help="The text on that image, or a text without an image.")
@click.option("--out", type=click.Path(path_type=Path), help="Write JSON lines here and not to standard output.")
@click.option("--ocr", is_flag=True, help="Read the text off the image of a row that has none.")
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
    """Labels and probabilities as JSON lines, for one image, a file of rows, or a folder of images.

    A row that cannot be read gets a line with an "error"; the others are answered, and the exit code is 1.
    In a folder, the text of a.jpg is looked for in a.txt. A post may lack its text or its image.
    With --out, answers grow in OUT.part; an interrupted run goes on there with --resume.
    With --ocr, an answer that rests on a text read off the image says it as "ocr_text".
    With --engine ray, workers on this machine or a cluster write a folder OUT, a file for each block of rows.

    \b
    Examples:
      distill predict runs/bundle --image meme.jpg --text "WHO DID THIS"
      distill predict runs/bundle posts.jsonl --out answers.jsonl
      distill predict runs/bundle images/ --ocr
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
    from distill.data.dataset import Example
    from distill.data.sources import Source
    from distill.runtime.ocr.reader import TextReader
    from distill.runtime.predictions import predict_source
    from distill.runtime.predictor import Predictor

    items = Source.open(source) if source else Source.of(Example(image.name if image else "text", text, image, ()))
    if engine == "ray" and out is not None:
        from distill.runtime.ray.predict import predict_on_ray
        from distill.runtime.ray.session import RayOptions

        faults = predict_on_ray(bundle, items, out, resume, RayOptions(workers, threads, ray_address))
    else:
        predictor = Predictor.load(bundle, threads)
        faults = predict_source(predictor, items, out, resume, TextReader(threads) if ocr else None)
    if faults:
        click.echo(f"error: {faults} row(s) could not be read; their lines say why", err=True)
        click.get_current_context().exit(1)
