"""`distill explain`: what an answer rests on. Imports what is slow inside the command."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import BUNDLE


@click.command()
@click.argument("bundle", type=BUNDLE)
@click.option("--image", type=click.Path(path_type=Path), help="The image.")
@click.option("--text", default="", help="The text on that image, or a text without an image.")
@click.option("--labels", "count", default=3, show_default=True, type=click.IntRange(1), help="How many labels.")
@click.option("--label", "names", multiple=True, metavar="NAME", help="This label; may be given several times.")
@click.option("--grid", default=7, show_default=True, type=click.IntRange(2, 32), help="Cells across the image.")
@click.option(
    "--out", default="explained.png", show_default=True, type=click.Path(path_type=Path), help="The PNG file."
)
@click.option("--json", "figures", type=click.Path(path_type=Path), help="All numbers.  [default: beside OUT]")
@click.option("--threads", default=0, show_default="all cores", type=click.IntRange(0))
def explain(
    bundle: Path,
    image: Path | None,
    text: str,
    count: int,
    names: tuple[str, ...],
    grid: int,
    out: Path,
    figures: Path | None,
    threads: int,
) -> None:
    """Which words and which regions of one post an answer rests on, as a plot and as JSON.

    Words are left out and squares of the image painted over, one at a time; what the label's probability loses is
    what the part counted. Shown are the labels decided for and the most probable, or those named with --label.

    \b
    Examples:
      distill explain runs/bundle --image meme.jpg --text "WHO DID THIS"
      distill explain runs/bundle --text "WHO DID THIS" --label Doubt --label Smears --out doubt.png
    """
    if image is None and not text.strip():
        raise click.UsageError("give --image FILE, --text TEXT, or both")
    if out.suffix.lower() != ".png":
        raise click.UsageError(f"--out {out} is to be a PNG file; give a name that ends in .png")
    figures = figures or out.with_suffix(".json")
    if figures == out:
        raise click.UsageError(f"--out {out} is the PNG file; give --json another name")
    from distill.core.files import refuse_what_is_no_file, write_json
    from distill.core.terminal import note, output
    from distill.data.dataset import Example
    from distill.runtime import explain_plot  # without matplotlib it ends here, and not after the long work
    from distill.runtime.explain import explain_prediction, to_table
    from distill.runtime.predictor import Predictor

    for path in (out, figures):
        refuse_what_is_no_file(path)
    predictor = Predictor.load(bundle, threads)
    example = Example(image.name if image else "text", text, image, ())
    explanation = explain_prediction(predictor, example, names, count, grid)
    output.print(to_table(explanation))
    title = f"{example.id} as {bundle.name} sees it"
    explain_plot.write_plot(explanation, image, predictor.bundle.preprocess.image, title, out)
    write_json(figures, {"bundle": bundle.name, "bundle_sha256": predictor.bundle.sha256, **explanation.to_json()})
    note(f"Written: {out}, and all numbers in {figures}")
