"""`distill split`: one labelled file into train, dev and test."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import NEW_FOLDER, SEED, column_options
from distill.core.columns import Columns


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=NEW_FOLDER, metavar="FOLDER", help="New folder to write to.")
@click.option("--seed", default=13, show_default=True, type=SEED, help="Seed of the split.")
@column_options
def split(source: Path, out: Path, seed: int, columns: Columns) -> None:
    """Split a labelled file into train, dev and test.

    Splits 70/15/15 by iterative stratification, so that each label keeps its proportion.

    \b
    Example:
      distill split all.json --out memes/
    """
    from distill.core.terminal import note
    from distill.data.split_file import split_file

    sizes = split_file(source, out, seed, columns)
    note(f"{out}: {sizes[0]} train, {sizes[1]} dev, {sizes[2]} test; how it was made stands in split.json")
