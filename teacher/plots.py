"""What the plots of tune and retrain share: colours, and writing a PNG."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.figure import Figure

from distill.core.storage.files import write_bytes

BLUE, ORANGE, GREY = "#1f5fa8", "#d1602b", "#8a8a8a"
DPI = 130


def write_png(figure: Figure, path: Path) -> None:
    """Write the file whole or not at all. Raises OutputError."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    write_bytes(path, content.getvalue())
