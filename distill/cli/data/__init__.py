"""The commands about a dataset's own files, a file for each."""

from __future__ import annotations

import click

from distill.cli.data.check import check
from distill.cli.data.convert import convert
from distill.cli.data.ocr import ocr
from distill.cli.groups import Once
from distill.cli.split import split


@click.group(cls=Once)
def data() -> None:
    """Check, convert, split and complete a dataset's files.

    \b
    Examples:
      distill data check memes/ --page memes.html
      distill data convert memes/ memes-parquet --to parquet
      distill data split all.json --out memes/
      distill data ocr memes/ --out memes-with-text
    """


for command in (check, convert, split, ocr):
    data.add_command(command)
