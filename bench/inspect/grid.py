"""The most wrong examples: thumbnails, cards for a page, all in one plot. Knows findings and image files."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from bench.inspect.paint import GOLD, HIT, PREDICTED, place, sheet, wrapped
from bench.inspect.wrong import Verdict, Wrong
from bench.report.page.html import Html, join, plain, tag
from bench.report.page.style import GRID, INK, MUTED, Colour
from bench.report.page.svg import SMALL, drawing, fit
from distill.data.dataset import Example
from distill.preprocess.flatten import to_rgb, without_pillow_warnings
from distill.preprocess.images import open_image

SIDE = 320  # pixels; a thumbnail's longer side at most
QUALITY = 72
ACROSS = 4
CARD = 190.0
SHOWN = 6  # labels of a card in the PNG file; the page has all
LETTERS = 160  # of a text on a card; the rest is folded away
KINDS: dict[tuple[bool, bool], tuple[str, Colour]] = {
    (True, True): ("found", HIT),
    (True, False): ("missed", GOLD),
    (False, True): ("false", PREDICTED),
}


def thumbnails(examples: Sequence[Example], wrong: Sequence[Wrong]) -> dict[int, bytes]:
    """A small JPEG of each of the wrong ones that has an image, by its row. Raises ImageError."""
    return {one.row: thumbnail(path) for one in wrong if (path := examples[one.row].image) is not None}


def thumbnail(path: Path) -> bytes:
    """A small JPEG without metadata. The model has read the file before: it can be decoded."""
    with open_image(path) as opened, without_pillow_warnings():
        opened.draft("RGB", (SIDE, SIDE))
        image = to_rgb(opened)
    image.thumbnail((SIDE, SIDE))
    image.info.clear()  # Pillow would carry comments over
    written = io.BytesIO()
    image.save(written, "JPEG", quality=QUALITY, optimize=True)
    return written.getvalue()


def cards(wrong: Sequence[Wrong], images: Mapping[int, bytes]) -> Html:
    """One card an example, in order."""
    made = [tag("li", _card(number, one, images.get(one.row))) for number, one in enumerate(wrong, 1)]
    return tag("ol", *made, class_="cards")


def _card(number: int, one: Wrong, image: bytes | None) -> Html:
    parts = [
        _thumbnail(one, image),
        tag("h3", f"{number}. {one.id}"),
        tag("p", f"loss {one.loss:.2f}", class_="muted"),
    ]
    parts.append(_text(one.text))
    lines = [tag("li", *_verdict(verdict)) for verdict in one.verdicts]
    parts.append(tag("ul", *lines, class_="verdicts") if lines else tag("p", "No label, none predicted."))
    return tag("article", *parts)


def _thumbnail(one: Wrong, image: bytes | None) -> Html:
    if image is None:
        return tag("p", "no image", class_="blank")
    encoded = base64.b64encode(image).decode("ascii")
    name = escape(plain(f"Image of {one.id}; its text is below"))
    with Image.open(io.BytesIO(image)) as opened:
        size = f'width="{opened.width}" height="{opened.height}"'
    return Html(f'<img alt="{name}" {size} src="data:image/jpeg;base64,{encoded}">')


def _text(text: str) -> Html:
    words = " ".join(plain(text).split())
    if not words:
        return tag("p", "no text", class_="muted")
    if len(words) <= LETTERS:
        return tag("p", words)
    start = words[:LETTERS].rsplit(" ", 1)[0]
    return tag("details", tag("summary", f"{start} …"), tag("p", words), class_="text")


def breakable(name: str) -> Html:
    """A name that may go on in a new line after a slash."""
    return join(name.split("/"), "/<wbr>")


def _verdict(verdict: Verdict) -> list[Html]:
    kind, _ = KINDS[verdict.gold, verdict.predicted]
    return [
        tag("span", kind, class_=f"kind {kind}"),
        tag("span", breakable(verdict.name)),
        tag("span", f"{verdict.probability:.2f}", class_="p"),
    ]


def sheet_of(wrong: Sequence[Wrong], images: Mapping[int, bytes]) -> Figure:
    """All cards in one plot, for a file."""
    tall = 150.0 + 46 + 12 * (SHOWN + 1) + 20
    rows = max(1, -(-len(wrong) // ACROSS))
    with drawing():
        figure = sheet(ACROSS * (CARD + 12) + 12, rows * tall + 8)
        for i, one in enumerate(wrong):
            left, top = 12 + (i % ACROSS) * (CARD + 12), 8 + (i // ACROSS) * tall
            _drawn(figure, left, top, i + 1, one, images.get(one.row))
    return figure


def _drawn(figure: Figure, left: float, top: float, number: int, one: Wrong, image: bytes | None) -> None:
    ax = place(figure, left, top, CARD, 150)
    ax.set_axis_off()
    if image is None:
        ax.text(0.5, 0.5, "no image", ha="center", va="center", color=MUTED.drawn)
    else:
        with Image.open(io.BytesIO(image)) as opened:
            ax.imshow(opened.convert("RGB"))
            ax.set_anchor("W")
    below = place(figure, left, top + 152, CARD, 46 + 12 * (SHOWN + 1))
    below.set_xlim(0, CARD)
    below.set_ylim(46 + 12 * (SHOWN + 1), 0)
    below.set_axis_off()
    loss = f"loss {one.loss:.2f}"
    below.text(0, 11, f"{number}. {fit(one.id, CARD - 70, SMALL)}", fontsize=SMALL, weight="bold")
    below.text(CARD, 11, loss, fontsize=SMALL, ha="right", color=MUTED.drawn)
    below.text(0, 16, wrapped(one.text or "no text", CARD, 8, 3), fontsize=8, va="top", color=INK.drawn)
    for i, verdict in enumerate(one.verdicts[:SHOWN]):
        kind, colour = KINDS[verdict.gold, verdict.predicted]
        y = 58 + 12 * i
        below.text(0, y, kind, fontsize=8, color=colour.drawn, weight="bold")
        below.text(36, y, fit(verdict.name, CARD - 62, 8), fontsize=8)
        below.text(CARD, y, f"{verdict.probability:.2f}", fontsize=8, ha="right")
    more = len(one.verdicts) - SHOWN
    if more > 0:
        below.text(36, 58 + 12 * SHOWN, f"and {more} more", fontsize=8, color=MUTED.drawn)
    below.plot([0, CARD], [1, 1], color=GRID.drawn, linewidth=0.7)
