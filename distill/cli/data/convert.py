"""`distill data convert`: a dataset in another form."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import NEW_FOLDER, ROWS, column_options, json_option, overwrite_option
from distill.cli.results import print_json
from distill.core.settings.columns import Columns


@click.command()
@click.argument("source", metavar="SRC", type=ROWS)
@click.argument("out", metavar="OUT", type=NEW_FOLDER)
@click.option(
    "--to", "form", required=True, type=click.Choice(["jsonl", "parquet", "imagefolder"]), help="Form to write."
)
@click.option(
    "--link", is_flag=True, help="Refer to the images where they are, by relative paths, in place of copies."
)
@overwrite_option
@json_option
@column_options
def convert(source: Path, out: Path, form: str, link: bool, overwrite: bool, columns: Columns) -> None:
    """Write a dataset in another form, with its images.

    SRC is a dataset as a training takes it; a file is not divided, but a folder without a dev split is. "jsonl"
    writes JSON Lines, "parquet" files that hold the images, and "imagefolder" a folder with metadata.jsonl for each
    split, as Hugging Face datasets read it.

    \b
    Examples:
      distill data convert memes/ memes-parquet --to parquet
      distill data convert memes/ memes-jsonl --to jsonl --link
    """
    from distill.core.output.terminal import note
    from distill.data.convert import convert as write
    from distill.runtime.hub_dataset import resolve_dataset

    counts = write(resolve_dataset(str(source)), out, form, link, columns, overwrite)  # type: ignore[arg-type]
    print_json({"folder": str(out), "rows": counts})
    note(f"{out}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")
