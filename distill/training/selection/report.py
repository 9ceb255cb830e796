"""What a selection says on the terminal."""

from __future__ import annotations

from rich.table import Table

from distill.core.output.terminal import note, output, warn
from distill.data.sources import Source
from distill.training.selection.select import Selection

MAX_SHOWN = 3  # posts that cannot be read


def show(selection: Selection, source: Source, wanted: int) -> None:
    """Print how many posts each label is the reason of, and what was left out."""
    if source.passed_over:
        warn(f"{source.path}: {source.passed_over}")
    for row in selection.failed[:MAX_SHOWN]:
        warn(f"{row.id}: {row.error}")
    table = Table("undecided label", "posts", title=f"{len(selection.chosen)} posts to label")
    table.columns[1].justify = "right"
    for name, count in selection.by_label.items():
        table.add_row(name, str(count))
    output.print(table)
    note(
        f"{source.path}: {selection.posts:,} posts; left out: {selection.labelled:,} labelled already or nearly "
        f"equal to a labelled one, {selection.repeated:,} nearly equal to another, {len(selection.failed):,} that "
        "cannot be read"
    )
    if len(selection.chosen) < wanted:
        warn(f"only {len(selection.chosen):,} posts are left to label, not {wanted:,}")
