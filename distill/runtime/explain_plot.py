"""Draws an explanation with matplotlib: a panel for each label, with its regions, its words and its halves.

Lengths are points, from the top left.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, get_font_names
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from distill.core.storage.files import write_bytes
from distill.core.untrusted import replace_surrogates
from distill.preprocess.flatten import to_rgb, without_pillow_warnings
from distill.preprocess.images import ImageSpec, open_image
from distill.runtime.explain import Explanation, LabelEffects, Output, Word

DPI = 150
WIDTH, MARGIN, HEADER, FOOTER, GAP = 792.0, 20.0, 56.0, 24.0, 30.0
TITLE = 22.0  # of a panel
MAX_SIDE = 250.0  # of an image
COLOUR_BAR = 72.0  # width of the colour bar between an image and the column to its right
BAR_NAME, BAR, BAR_STEP = 96.0, 9.0, 16.0  # of the bars for both halves
LINE, BLANK, SMALL, SIZE = 32.0, 5.0, 7.5, 10.5
MAX_LETTERS = 32  # of a word; longer ones are cut
MAX_UNREAD = 8  # words behind the tokenizer's cut that are drawn
MIN_SCALE = 5.0  # points of probability: where no effect is this strong, all colours are pale
PIXELS = 800  # of the image's longer side
INK, MUTED, FAINT, RULE, FOR, AGAINST = "#1b1b1b", "#5f5f5f", "#a8a8a8", "#dcdcdc", "#c2560a", "#1f5fa8"
# Fonts for letters that matplotlib's own lacks, where these are installed.
FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Arial Unicode MS", "Segoe UI Symbol")
# Orange and blue, which all common kinds of colour vision tell apart; no effect is transparent.
COLOURS = LinearSegmentedColormap.from_list(
    "effects",
    [(0, to_rgba(AGAINST, 0.85)), (0.5, to_rgba(AGAINST, 0)), (0.5, to_rgba(FOR, 0)), (1, to_rgba(FOR, 0.85))],
)
KEY = "Orange speaks for the label, blue against it. Numbers: points of probability (of 100) lost without it."
CAVEAT = "What this model's prediction rests on, found by leaving out parts; not why a person would say so."


@dataclass(frozen=True)
class WordBox:
    """A word as it is drawn, `left` in a line; `index` is its place in the text."""

    index: int
    text: str
    left: float
    width: float
    line: int


def write_plot(
    explanation: Explanation, image: Path | bytes | None, spec: ImageSpec, title: str, out: Path
) -> None:
    """Write the PNG, whole or not at all. Raises ImageError and OutputError."""
    with plain_style():
        if explanation.grid == 0:
            image = None  # a model of texts alone has not looked at it
        figure = draw(explanation, None if image is None else load_grey(image), spec, title)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
    write_bytes(out, content.getvalue())


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw the same whatever the user's matplotlibrc says, and without warnings on letters that no font has."""
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def load_grey(source: Path | bytes) -> Image.Image:
    """The image, upright and in pale grey, so that the only colours are those of effects."""
    with open_image(source) as opened, without_pillow_warnings():
        opened.draft("RGB", (PIXELS, PIXELS))
        image = to_rgb(opened)
    image.thumbnail((PIXELS, PIXELS))
    return image.convert("L").point(lambda value: 255 - (255 - value) * 0.7)


def draw(explanation: Explanation, image: Image.Image | None, spec: ImageSpec, title: str) -> Figure:
    """All panels, one below the other."""
    figure = Figure(dpi=DPI, facecolor="white")
    column = MARGIN if image is None else MARGIN + _image_size(image)[0] + COLOUR_BAR
    boxes = lay_out_words(explanation.words, figure, WIDTH - MARGIN - column)
    right = _halves_height(explanation.labels[0]) + (LINE * (boxes[-1].line + 1) + 16 if boxes else 0)
    height = TITLE + max(right, 0 if image is None else _image_size(image)[1])
    total = HEADER + len(explanation.labels) * (height + GAP) + FOOTER - GAP / 2
    figure.set_size_inches(WIDTH / 72, total / 72)
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, WIDTH), ylim=(total, 0))
    page.set_axis_off()
    _draw_text(page, MARGIN, 20, title, SIZE + 2, INK, weight="bold")
    _draw_text(page, MARGIN, 36, KEY, SMALL + 1, MUTED)
    for number, effects in enumerate(explanation.labels):
        top = HEADER + number * (height + GAP)
        _draw_title(page, top, effects)
        if image is not None:
            _draw_regions(page, top + TITLE, image, effects, spec)
        _draw_halves(page, column, top + TITLE, effects)
        _draw_words(page, column, top + TITLE + _halves_height(effects), effects, boxes, explanation.words)
    _draw_text(page, MARGIN, total - 12, CAVEAT, SMALL + 1, MUTED)
    return figure


def lay_out_words(words: Sequence[Word], figure: Figure, room: float) -> list[WordBox]:
    """Words in lines `room` wide, in reading order; of those that are not read, the first few."""
    renderer, font = FigureCanvasAgg(figure).get_renderer(), _font(SIZE)
    boxes: list[WordBox] = []
    left, line, unread = 0.0, 0, 0
    for i, word in enumerate(words):
        unread += not word.read
        if unread > MAX_UNREAD:
            break
        text = shorten(word.text) if unread < MAX_UNREAD else "…"
        width = max(28.0, renderer.get_text_width_height_descent(text, font, ismath=False)[0] * 72 / DPI + 6)
        if left and left + width > room:
            left, line = 0.0, line + 1
        boxes.append(WordBox(i, text, left, width, line))
        left += width + BLANK
    return boxes


def shorten(name: str, letters: int = MAX_LETTERS) -> str:
    """A word or name as it can be drawn: printable, and cut where it is long."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in replace_surrogates(name))
    return text if len(text) <= letters else text[: letters - 1] + "…"


def points(effect: Output) -> float:
    """An effect in points of probability (100 for certainty)."""
    return 100 * effect.probability


def colour_scale(effects: Sequence[Output]) -> Normalize:
    """Points of probability to [0, 1] for COLOURS: as far below 0 as above, with 0 in the middle."""
    strongest = max(MIN_SCALE, *(abs(points(effect)) for effect in effects))
    return Normalize(-strongest, strongest)


def _font(size: float, weight: str = "normal") -> FontProperties:
    installed = set(get_font_names())
    return FontProperties(family=[name for name in FONTS if name in installed], size=size, weight=weight)


def _draw_text(page: Axes, left: float, base: float, text: str, size: float, colour: str, **style: Any) -> None:
    font = _font(size, style.pop("weight", "normal"))
    page.text(left, base, text, color=colour, fontproperties=font, parse_math=False, **style)


def _draw_title(page: Axes, top: float, effects: LabelEffects) -> None:
    page.plot([MARGIN, WIDTH - MARGIN], [top - 8, top - 8], color=RULE, linewidth=0.8)
    _draw_text(page, MARGIN, top + 9, shorten(effects.label, 60), SIZE + 2, INK, weight="bold")
    verdict = "predicted" if effects.decided else "not predicted"
    cut = "" if effects.threshold is None else f", threshold {effects.threshold:.2f}"
    text = f"{verdict}: probability {effects.whole.probability:.2f}{cut}"
    _draw_text(page, WIDTH - MARGIN, top + 9, text, SIZE, INK if effects.decided else MUTED, ha="right")


def _image_size(image: Image.Image) -> tuple[float, float]:
    """Width and height of the image as it is drawn."""
    factor = MAX_SIDE / max(image.size)
    return max(40.0, image.width * factor), max(40.0, image.height * factor)


def _draw_regions(page: Axes, top: float, image: Image.Image, effects: LabelEffects, spec: ImageSpec) -> None:
    """The image under a map of its regions' effects, and the colour bar."""
    width, height = _image_size(image)
    whole = (MARGIN, MARGIN + width, top + height, top)
    page.imshow(image, cmap="gray", vmin=0, vmax=255, extent=whole, aspect="auto")
    if spec.fit == "squash":  # the model sees the whole image; otherwise the square in the middle
        dx = dy = 0.0
    else:
        dx, dy = (width - min(width, height)) / 2, (height - min(width, height)) / 2
        square = (MARGIN + dx, top + dy), width - 2 * dx, height - 2 * dy
        page.add_patch(Rectangle(*square, fill=False, ec=MUTED, lw=0.6))
    norm = colour_scale([effect for row in effects.regions for effect in row])
    values = np.array([[points(effect) for effect in row] for row in effects.regions])
    extent = (MARGIN + dx, MARGIN + width - dx, top + height - dy, top + dy)
    page.imshow(values, cmap=COLOURS, norm=norm, extent=extent, aspect="auto", interpolation="bilinear")
    figure, total = page.figure, page.get_ylim()[0]
    bar_height = min(height, 160.0)
    place = (MARGIN + width + 8) / WIDTH, 1 - (top + bar_height) / total, 7 / WIDTH, bar_height / total
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), cax=figure.add_axes(place))
    bar.outline.set_linewidth(0.4)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5 if bar_height > 80 else 3))
    bar.ax.tick_params(labelsize=SMALL, length=2, width=0.4, colors=MUTED)
    bar.set_label("points of probability", fontsize=SMALL, color=MUTED)


def _bars(effects: LabelEffects) -> list[tuple[str, Output]]:
    """The name and output of each bar: the whole post and, where there are two, each half alone."""
    halves = (("text alone", effects.text_alone), ("image alone", effects.image_alone))
    named = [(name, output) for name, output in halves if output is not None]
    return [("text and image" if named else "probability", effects.whole), *named]


def _halves_height(effects: LabelEffects) -> float:
    return BAR_STEP * len(_bars(effects)) + 8


def _draw_halves(page: Axes, left: float, top: float, effects: LabelEffects) -> None:
    """A bar for the whole and for each half alone, from 0 to 1, and the threshold across them."""
    start, room = left + BAR_NAME, WIDTH - MARGIN - left - BAR_NAME - 34
    bars = _bars(effects)
    for number, (name, output) in enumerate(bars):
        base = top + number * BAR_STEP
        _draw_text(page, left, base + BAR, name, SMALL + 1, MUTED)
        page.add_patch(Rectangle((start, base), room, BAR, color="#f0f0f0", lw=0))
        colour = "#444444" if number == 0 else "#8a8a8a"
        page.add_patch(Rectangle((start, base), room * output.probability, BAR, color=colour, lw=0))
        _draw_text(page, start + room + 6, base + BAR, f"{output.probability:.2f}", SMALL + 1, INK)
    if effects.threshold is None:
        return
    threshold = start + room * effects.threshold
    ends = [top - 2, top + BAR_STEP * (len(bars) - 1) + BAR + 2]
    page.plot([threshold, threshold], ends, color="white", linewidth=2.6)
    page.plot([threshold, threshold], ends, color=INK, linewidth=1.1, label="threshold")


def _draw_words(
    page: Axes, left: float, top: float, effects: LabelEffects, boxes: Sequence[WordBox], words: Sequence[Word]
) -> None:
    """The text, each word on the colour of its effect with the number below; grey where it is not read."""
    if not boxes:
        return
    norm = colour_scale(effects.words)
    for box in boxes:
        x, y, effect = left + box.left, top + 8 + box.line * LINE, points(effects.words[box.index])
        if not words[box.index].read:
            _draw_text(page, x + 3, y + 11, box.text, SIZE, FAINT)
            continue
        colour = COLOURS(norm(effect))
        page.add_patch(Rectangle((x, y), box.width, 15, fc=(*colour[:3], 0.7 * colour[3]), ec=RULE, lw=0.4))
        middle = x + box.width / 2
        _draw_text(page, middle, y + 11, box.text, SIZE, INK, ha="center")
        number = f"{effect:+.1f}" if abs(effect) >= 0.05 else "0"
        _draw_text(page, middle, y + 23.5, number.replace("-", "−"), SMALL, MUTED, ha="center")
    if not all(word.read for word in words):
        _draw_text(page, left, top + 2, "grey: beyond the tokens that the model reads", SMALL, MUTED)
