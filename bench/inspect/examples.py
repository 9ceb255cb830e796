"""The most wrong examples: thumbnails for the page, and all of them in one plot."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from PIL import Image

from bench.inspect.colours import KINDS
from bench.inspect.wrong import Wrong
from bench.report.kit import plot as kit
from bench.report.kit.style import GRID, INK, MUTED
from bench.report.kit.text import fit, wrapped
from bench.report.kit.thumbnail import Thumbnail, thumbnail
from distill.data.dataset import Example

ACROSS = 4
CARD, IMAGE = 190.0, 150.0
SHOWN = 6  # labels of a card in the PNG file; the page has all
BELOW = 46 + 12.0 * (SHOWN + 1)  # height of what is below the image


def thumbnails(examples: Sequence[Example], wrong: Sequence[Wrong]) -> dict[int, Thumbnail]:
    """Of each of the wrong ones that has an image, by its row. Raises ImageError."""
    return {each.row: thumbnail(image) for each in wrong if (image := examples[each.row].image) is not None}


@kit.drawing()
def sheet(wrong: Sequence[Wrong], images: Mapping[int, Thumbnail]) -> kit.Plot:
    """All examples in one plot, for a file."""
    tall = IMAGE + BELOW + 20
    figure = kit.canvas(max(1, -(-len(wrong) // ACROSS)) * tall + 8, ACROSS * (CARD + 12) + 12)
    for i, each in enumerate(wrong):
        corner = 12 + (i % ACROSS) * (CARD + 12), 8 + (i // ACROSS) * tall
        _card(figure, corner, i + 1, each, images.get(each.row))
    return kit.Plot(figure, "The most wrong examples")


def _card(figure: Figure, corner: tuple[float, float], number: int, wrong: Wrong, image: Thumbnail | None) -> None:
    left, top = corner
    ax = kit.place(figure, left, top, CARD, IMAGE)
    ax.set_axis_off()
    if image is None:
        ax.text(0.5, 0.5, "no image", ha="center", va="center", color=MUTED.drawn)
    else:
        with Image.open(io.BytesIO(image.jpeg)) as opened:
            ax.imshow(opened.convert("RGB"))
            ax.set_anchor("W")
    ax = kit.place(figure, left, top + IMAGE + 2, CARD, BELOW)
    ax.set_xlim(0, CARD)
    ax.set_ylim(BELOW, 0)
    ax.set_axis_off()
    ax.plot([0, CARD], [1, 1], color=GRID.drawn, linewidth=0.7)
    ax.text(0, 11, f"{number}. {fit(wrong.id, CARD - 70, kit.SMALL)}", fontsize=kit.SMALL, weight="bold")
    ax.text(CARD, 11, f"loss {wrong.loss:.2f}", fontsize=kit.SMALL, ha="right", color=MUTED.drawn)
    ax.text(0, 16, wrapped(wrong.text or "no text", CARD, 8, 3), fontsize=8, va="top", color=INK.drawn)
    for i, label in enumerate(wrong.verdicts[:SHOWN]):
        y = 58 + 12 * i
        ax.text(0, y, label.kind, fontsize=8, color=KINDS[label.kind].drawn, weight="bold")
        ax.text(36, y, fit(label.name, CARD - 62, 8), fontsize=8)
        ax.text(CARD, y, f"{label.probability:.2f}", fontsize=8, ha="right")
    more = len(wrong.verdicts) - SHOWN
    if more > 0:
        ax.text(36, 58 + 12 * SHOWN, f"and {more} more", fontsize=8, color=MUTED.drawn)
