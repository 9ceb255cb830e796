"""The page of a search; page.html.jinja says where its plots and tables go."""

from __future__ import annotations

from pathlib import Path

from bench.report.kit.html import render
from bench.search import plots, tables
from distill.core.storage.files import write_text
from student.search.report import SearchReport


def write(report: SearchReport, out: Path) -> None:
    """Write the HTML file. Raises OutputError."""
    write_text(out, to_html(report))


def to_html(report: SearchReport) -> str:
    """The page of a finished search."""
    return render("search/page.html.jinja", report=report, tables=tables, plots=plots)
