"""`distill data convert`: a dataset in another form."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.options import NEW_FOLDER


@click.command()
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=NEW_FOLDER)
@click.option(
    "--to", "form", required=True, type=click.Choice(["jsonl", "parquet", "imagefolder"]), help="Form to write."
)
@click.option(
    "--link", is_flag=True, help="Refer to the images where they are, by relative paths, in place of copies."
)
def convert(source: Path, out: Path, form: str, link: bool) -> None:
    """Write a dataset in another form, with its images.

    SRC is a folder with train, dev or test, or one file, which is not divided. "jsonl" writes JSON Lines, "parquet"
    files that hold the images, and "imagefolder" a folder with metadata.jsonl for each split, as Hugging Face
    datasets read it.

    \b
    Examples:
      distill data convert memes/ memes-parquet --to parquet
      distill data convert memes/ memes-jsonl --to jsonl --link
    """
    from distill.core.terminal import note
    from distill.data.convert import convert as write

    counts = write(source, out, form, link)  # type: ignore[arg-type]  # click has checked it
    note(f"{out}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")
