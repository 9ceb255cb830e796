"""`distill data ocr`: fills in the texts of a dataset that stand on its images alone."""

from __future__ import annotations

from pathlib import Path

import click

from distill.cli.exits import exits
from distill.cli.groups import say_error
from distill.cli.options import NEW_FOLDER, THREADS, column_options, json_option, overwrite_option
from distill.cli.results import print_json
from distill.core.errors import ExitCode
from distill.core.settings.columns import Columns


@click.command()
@exits({1: "some images could not be read; their rows are as they were"})
@click.argument("source", metavar="DATA", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=NEW_FOLDER, metavar="FOLDER", help="New folder to write to.")
@overwrite_option
@click.option("--in-place", is_flag=True, help="Change the files of DATA instead.")
@click.option("--all", "every", is_flag=True, help='Read every image, into "ocr_text".')
@click.option("--threads", default=0, show_default="CPUs available", type=THREADS, help="Number of threads.")
@json_option
@click.pass_context
@column_options
def ocr(
    context: click.Context,
    source: Path,
    out: Path | None,
    overwrite: bool,
    in_place: bool,
    every: bool,
    threads: int,
    columns: Columns,
) -> None:
    """Fill in missing texts by reading them off the images.

    DATA is a folder with train, dev or test files (.json, .jsonl, .csv), one such file, or a dataset in a published
    form, which is written as JSON Lines. A filled row says "text_from": "ocr"; nothing else changes but image
    paths, which are relative to the new folder. An interrupted
    run continues with the same command. Images that cannot be read are skipped, and the exit code is 1.

    \b
    Examples:
      distill data ocr memes/ --out memes-with-text
      distill data ocr posts.jsonl --in-place
    """
    if in_place == (out is not None):
        raise click.UsageError("give --out FOLDER, or --in-place to change the files themselves")
    from distill.core.output.terminal import note, warn
    from distill.runtime.ocr.fill_texts import MAX_FAULTS_SHOWN, fill_texts
    from distill.runtime.ocr.reader import TextReader

    report = fill_texts(source, out, TextReader(threads), every, columns, overwrite)
    note(
        f"{out or source}: {report.rows:,} rows, {report.missing:,} without a text before and "
        f"{report.still_missing:,} now"
    )
    print_json(report)
    for fault in report.faults[:MAX_FAULTS_SHOWN]:
        warn(fault)
    if report.faults:
        say_error(f"{len(report.faults)} image(s) could not be read; their rows are as they were")
        context.exit(ExitCode.FAILED)
