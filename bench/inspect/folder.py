"""The folder of an inspection: figures, page and plot files, whole or not at all.

FOLDER/
  inspect.json        every figure; the rest is made from it and from the images of the examples
  index.html          the page
  confusion.png, precision-recall.png, together-gold.png, together-decided.png, learning.png (of a run alone),
  calibration.png, coverage.png, most-wrong.png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.inspect.findings import Findings
from distill.core.extras import require_extra
from distill.core.storage.files import atomic_folder, refuse_existing, write_json, write_text
from distill.data.dataset import Example

FIGURES, PAGE = "inspect.json", "index.html"


def ready(out: Path, overwrite: bool) -> None:
    """Look for what would stop `write`, before the long work. Raises OutputError, and BenchError without matplotlib
    and Jinja2."""
    refuse_existing(out, overwrite, lambda folder: (folder / FIGURES).is_file(), "an inspection")
    require_extra("plots", "the page")


def write(findings: Findings, examples: Sequence[Example], out: Path, overwrite: bool = False) -> Path:
    """The whole folder; the page's path. Raises OutputError, and BenchError without matplotlib and Jinja2."""
    ready(out, overwrite)
    from bench.inspect import page
    from bench.inspect.examples import thumbnails

    images = thumbnails(examples, findings.wrong)
    with atomic_folder(out) as folder:
        write_json(folder / FIGURES, findings.to_json())
        write_text(folder / PAGE, page.to_html(findings, images))
        for name, plot in page.plots_of(findings, images).items():
            plot.png(folder / f"{name}.png")
    return out / PAGE
