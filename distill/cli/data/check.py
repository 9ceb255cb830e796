"""`distill data check`: what a dataset holds, and what is doubtful about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distill.cli.exits import exits
from distill.cli.groups import say_error
from distill.cli.options import FILE, ROWS, column_options, json_option, out_file
from distill.cli.results import print_json
from distill.core.errors import ExitCode
from distill.core.settings.columns import Columns

if TYPE_CHECKING:
    from distill.data.survey import Survey


@click.command()
@exits({1: "the dataset has errors, which would stop a training"})
@click.argument("source", metavar="DATA", type=ROWS)
@out_file("JSON file to write the report to.", more="page")
@click.option("--page", type=FILE, metavar="FILE", help="HTML file to write, with the images of duplicates.")
@json_option
@click.pass_context
@column_options
def check(context: click.Context, source: Path, out: Path | None, page: Path | None, columns: Columns) -> None:
    """Show what a dataset holds, and what is doubtful about it.

    DATA is a dataset as a training takes it. Says which format and columns each file has, counts rows, labels,
    words and images, and looks for duplicates within and across splits: equal images, images that look the same and
    texts that differ only in how they are written. The exit code is 1 if there are errors, which would stop a
    training, and 0 with warnings alone. The page contains images and texts of the dataset: share it only with
    people who may see them.

    \b
    Examples:
      distill data check memes/
      distill data check memes/ --out report.json --page page.html
    """
    from distill.core.package_guard import require_own
    from distill.core.storage.files import refuse_overwriting, write_json, write_text
    from distill.runtime.hub_dataset import resolve_dataset

    require_own("bench")
    if out is not None and page is not None and out.absolute() == page.absolute():
        raise click.UsageError("--out and --page name the same file")
    folder = resolve_dataset(str(source))
    for path in filter(None, (out, page)):
        refuse_overwriting(path, folder, *_files_of(folder, columns))
    if page is not None:
        from distill.core.extras import require_extra

        require_extra("plots", "the page")
    from distill.core.output.terminal import note
    from distill.data.dataset import read_splits
    from distill.data.survey import survey

    surveyed = survey(read_splits(folder, columns=columns), folder)
    report = surveyed.survey
    if out is not None:
        write_json(out, report.to_json())
    if page is not None:
        from bench.dataset.page import to_html

        write_text(page, to_html(surveyed))
    _show(report)
    print_json(report.to_json())
    for path in filter(None, (out, page)):
        note(f"Written: {path}")
    for line in report.errors:
        say_error(line)
    if report.errors:
        context.exit(ExitCode.FAILED)


def _show(report: Survey) -> None:
    from bench.dataset.tables import grids
    from distill.core.output.terminal import note, output, warn

    for line in report.read_as:
        note(line)
    for grid in grids(report):
        for table in grid.to_rich(output.width):
            output.print(table)
    for line in report.warnings:
        warn(line)


def _files_of(source: Path, columns: Columns) -> list[Path]:
    """The files of rows and labels in a dataset's folder."""
    from distill.data.formats.folders import find_parts
    from distill.data.labels import LABEL_FILES

    if not source.is_dir():
        return []
    parts = find_parts(source, columns).parts.values()
    return [part.path for each in parts for part in each] + [source / name for name in LABEL_FILES]
