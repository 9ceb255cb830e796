"""The page of a benchmark: one HTML file with tables and plots, of one device or several.

No script, no font and no image comes from elsewhere, and none could: the page forbids it itself. The same reports
give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.report.types import BenchReport
from distill.core.errors import BenchError
from distill.core.extras import require_extra
from distill.core.storage.files import write_text


def write(reports: Sequence[BenchReport], out: Path) -> None:
    """The page as a file, whole or not at all. Raises BenchError without matplotlib and Jinja2."""
    write_text(out, to_html(reports))


def to_html(reports: Sequence[BenchReport]) -> str:
    """The page. Raises InstallError without [plots], and BenchError without a report."""
    if not reports:
        raise BenchError("no report to make a page of; give the JSON of distill bench")
    require_extra("plots", "the page")
    from bench.report.page.page import html_of

    return html_of(reports)
