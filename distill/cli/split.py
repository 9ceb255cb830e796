"""`distill split`, also `distill data split`: one labelled file into train, dev and test."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import ROWS, SEED, column_options, json_option, out_folder
from distill.cli.results import print_json_file
from distill.core.settings.columns import Columns


@click.command()
@click.argument("source", metavar="DATA", type=ROWS)
@out_folder("New folder to write to.")
@click.option("--seed", default=13, show_default=True, type=SEED, help="Seed of the split.")
@click.option(
    "--group-column", "group", default="", metavar="NAME", help="Column whose equal values stay in one split."
)
@click.option(
    "--time-column", "time", default="", metavar="NAME", help="Column of times: the earliest rows are for training."
)
@json_option
@column_options
def split(source: Path, out: Path, overwrite: bool, seed: int, group: str, time: str, columns: Columns) -> None:
    """Split a labelled file into train, dev and test.

    DATA is a file, a folder in a published form that is not divided, or OWNER/NAME on the Hugging Face hub.
    Splits 70/15/15 by iterative stratification, so that each label keeps its proportion, or by time. Rows with
    equal texts, or with images that are equal or look the same, stay in one split; with --group-column, so do the
    posts of one author or thread. FILE may be -, for rows on standard input.

    \b
    Examples:
      distill split all.json --out memes/
      distill split all.csv --out memes/ --group-column author --time-column date
    """
    from distill.core.output.terminal import note
    from distill.data.dividing.split_file import RECORD, OrderColumns, split_file
    from distill.runtime.hub_dataset import resolve_dataset

    sizes = split_file(resolve_dataset(str(source)), out, seed, columns, OrderColumns(group, time), overwrite)
    print_json_file(out / RECORD)
    note(f"{out}: {sizes[0]} train, {sizes[1]} dev, {sizes[2]} test; how it was made stands in {RECORD}")
