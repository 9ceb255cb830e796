"""The commands about a dataset's own files: thin, as in cli.py."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def data() -> None:
    """Put a dataset's own files in order.

    \b
    Example:
      distill data ocr memes/ --out memes-with-text
    """


@data.command()
@click.argument("source", metavar="DATA", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the filled files.")
@click.option("--in-place", is_flag=True, help="Change the files of DATA themselves.")
@click.option("--all", "every", is_flag=True, help='Read every image, into "ocr_text", to compare with the text.')
@click.option("--threads", default=0, show_default="all cores", type=click.IntRange(0))
@click.pass_context
def ocr(context: click.Context, source: Path, out: Path | None, in_place: bool, every: bool, threads: int) -> None:
    """Fill the missing texts of a dataset with what is read off its images.

    DATA is a folder with train, dev or test (.json, .jsonl or .csv), or one such file. A filled row says
    "text_from": "ocr"; nothing else changes, except that rows in a new folder name their images from there.
    Killed, the same command goes on. The exit code is 1 when an image cannot be read; the others are.

    \b
    Examples:
      distill data ocr memes/ --out memes-with-text
      distill data ocr posts.jsonl --in-place
    """
    if in_place == (out is not None):
        raise click.UsageError("give --out FOLDER, or --in-place to change the files themselves")
    from distill.core.terminal import note, warn
    from distill.runtime.ocr.fill_texts import MAX_FAULTS_SHOWN, fill_texts
    from distill.runtime.ocr.reader import TextReader

    report = fill_texts(source, out, TextReader(threads), every)
    note(
        f"{out or source}: {report.rows:,} rows, {report.missing:,} without a text before and "
        f"{report.still_missing:,} now"
    )
    for fault in report.faults[:MAX_FAULTS_SHOWN]:
        warn(fault)
    if report.faults:
        click.echo(f"error: {len(report.faults)} image(s) could not be read; their rows are as they were", err=True)
        context.exit(1)
