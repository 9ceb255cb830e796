"""`distill explain`: what an answer rests on. Imports what is slow inside the command."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import BUNDLE, IMAGE, THREADS, json_option, out_file
from distill.cli.results import print_json
from distill.core.extras import require_extra


@click.command()
@click.argument("bundle", type=BUNDLE)
@click.option("--image", type=IMAGE, metavar="FILE", help="Image to explain.")
@click.option("--text", default="", help="Text of that image, or a text without an image.")
@click.option(
    "--labels", "count", default=3, show_default=True, type=click.IntRange(1), help="Number of labels to explain."
)
@click.option("--label", "names", multiple=True, metavar="NAME", help="Label to explain. Repeatable.")
@click.option("--grid", default=7, show_default=True, type=click.IntRange(2, 32), help="Squares across the image.")
@out_file(
    "PNG file to write; all numbers go beside it, with the suffix .json.",
    beside=(".json",),
    default="explained.png",
    show_default=True,
)
@json_option
@click.option("--threads", default=0, show_default="CPUs available", type=THREADS, help="Number of threads.")
def explain(
    bundle: Path,
    image: Path | bytes | None,
    text: str,
    count: int,
    names: tuple[str, ...],
    grid: int,
    out: Path,
    threads: int,
) -> None:
    """Explain an answer by occlusion, as a plot and as JSON.

    Words are left out and squares of the image covered, one at a time; how much a label's probability drops is how
    much that part mattered. Explains the predicted and most probable labels, or those given with --label.

    \b
    Examples:
      distill explain runs/bundle --image meme.jpg --text "WHO DID THIS"
      distill explain runs/bundle --text "WHO DID THIS" --label Doubt --label Smears --out doubt.png
    """
    if image is None and not text.strip():
        raise click.UsageError("give --image FILE, --text TEXT, or both")
    if out.suffix.lower() != ".png":
        raise click.UsageError(f"--out {out} is to be a PNG file; give a name that ends in .png")
    require_extra("plots", "distill explain")
    from distill.core.output.terminal import note, output
    from distill.core.storage.files import write_json
    from distill.data.dataset import Example
    from distill.runtime.explain import explain_prediction, to_table
    from distill.runtime.explain_plot import write_plot
    from distill.runtime.predictor import Predictor

    predictor = Predictor.load(bundle, threads)
    name = image.name if isinstance(image, Path) else "text" if image is None else "image"
    example = Example(name, text, image, ())
    found = explain_prediction(predictor, example, names, count, grid)
    title = f"{example.id} as {bundle.name} sees it"
    write_plot(found, image, predictor.bundle.preprocess.image, title, out)
    result = {"bundle": bundle.name, "bundle_sha256": predictor.bundle.sha256, **found.to_json()}
    figures = out.with_suffix(".json")
    write_json(figures, result)
    output.print(to_table(found))
    print_json(result)
    note(f"Written: {out}, and all numbers in {figures}")
