"""An explanation as a plot: a panel a label, with its regions, words and halves. Knows matplotlib, no model.
Lengths are points, from the top left."""

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

from distill.core.files import write_bytes
from distill.core.untrusted import replace_surrogates
from distill.preprocess.flatten import to_rgb, without_pillow_warnings
from distill.preprocess.images import ImageSpec, open_image
from distill.runtime.explain import Answer, Explanation, LabelEffects, Word

DPI = 150
WIDTH, MARGIN, HEADER, FOOTER, GAP = 792.0, 20.0, 56.0, 24.0, 30.0
TITLE = 22.0  # of a panel
SIDE = 250.0  # of an image, at most
ASIDE = 72.0  # between an image and what stands right of it, for the colours' bar
NAMES, BAR, STEP = 96.0, 9.0, 16.0  # of the bars for both halves
LINE, BLANK, SMALL, SIZE = 32.0, 5.0, 7.5, 10.5
LETTERS = 32  # of a word that are shown
UNREAD = 8  # words behind the tokenizer's cut that are shown
FLOOR = 5.0  # points of probability: where nothing has this much, all is pale
PIXELS = 800  # of the image's longer side
INK, MUTED, FAINT, RULE, FOR, AGAINST = "#1b1b1b", "#5f5f5f", "#a8a8a8", "#dcdcdc", "#c2560a", "#1f5fa8"
# Letters that matplotlib's own font lacks, where these are installed.
FONTS = ("DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Arial Unicode MS", "Segoe UI Symbol")
# Orange and blue, which all common kinds of colour vision tell apart; nothing is transparent.
COLOURS = LinearSegmentedColormap.from_list(
    "effects",
    [(0, to_rgba(AGAINST, 0.85)), (0.5, to_rgba(AGAINST, 0)), (0.5, to_rgba(FOR, 0)), (1, to_rgba(FOR, 0.85))],
)
KEY = "Orange speaks for the label, blue against it. Numbers: points of probability (of 100) lost without it."
CAVEAT = "What this model's answer rests on, found by withholding parts; not why a person would say so."


@dataclass(frozen=True)
class Chip:
    """A word as it is drawn, `left` in a line; `index` is its place in the text."""

    index: int
    text: str
    left: float
    width: float
    line: int


def write(found: Explanation, image: Path | None, spec: ImageSpec, title: str, out: Path) -> None:
    """The PNG, whole or not at all. Raises ImageError and OutputError."""
    with drawing():
        figure = draw(found, None if image is None else seen(image), spec, title)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
    write_bytes(out, content.getvalue())


@contextmanager
def drawing() -> Iterator[None]:
    """Draw inside: the same whatever the user's matplotlibrc says, and silent on letters that no font has."""
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        yield


def seen(source: Path) -> Image.Image:
    """The image, upright and in pale grey, so that the only colours are those of effects."""
    with open_image(source) as opened, without_pillow_warnings():
        opened.draft("RGB", (PIXELS, PIXELS))
        image = to_rgb(opened)
    image.thumbnail((PIXELS, PIXELS))
    return image.convert("L").point(lambda value: 255 - (255 - value) * 0.7)


def draw(found: Explanation, image: Image.Image | None, spec: ImageSpec, title: str) -> Figure:
    """All panels, one below the other."""
    figure = Figure(dpi=DPI, facecolor="white")
    column = MARGIN if image is None else MARGIN + _sides(image)[0] + ASIDE
    chips = flow(found.words, figure, WIDTH - MARGIN - column)
    right = _halves_height(found.labels[0]) + (LINE * (chips[-1].line + 1) + 16 if chips else 0)
    height = TITLE + max(right, 0 if image is None else _sides(image)[1])
    total = HEADER + len(found.labels) * (height + GAP) + FOOTER - GAP / 2
    figure.set_size_inches(WIDTH / 72, total / 72)
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, WIDTH), ylim=(total, 0))
    page.set_axis_off()
    _say(page, MARGIN, 20, title, SIZE + 2, INK, weight="bold")
    _say(page, MARGIN, 36, KEY, SMALL + 1, MUTED)
    for number, effects in enumerate(found.labels):
        top = HEADER + number * (height + GAP)
        _head(page, top, effects)
        if image is not None:
            _regions(page, top + TITLE, image, effects, spec)
        _halves(page, column, top + TITLE, effects)
        _words(page, column, top + TITLE + _halves_height(effects), effects, chips, found.words)
    _say(page, MARGIN, total - 12, CAVEAT, SMALL + 1, MUTED)
    return figure


def flow(words: Sequence[Word], figure: Figure, room: float) -> list[Chip]:
    """Words in lines of this width, in reading order; of those that are not read, the first few."""
    renderer, font = FigureCanvasAgg(figure).get_renderer(), _font(SIZE)
    chips: list[Chip] = []
    left, line, unread = 0.0, 0, 0
    for i, word in enumerate(words):
        unread += not word.read
        if unread > UNREAD:
            break
        text = shown(word.text) if unread < UNREAD else "…"
        wide = max(28.0, renderer.get_text_width_height_descent(text, font, ismath=False)[0] * 72 / DPI + 6)
        if left and left + wide > room:
            left, line = 0.0, line + 1
        chips.append(Chip(i, text, left, wide, line))
        left += wide + BLANK
    return chips


def shown(name: str, letters: int = LETTERS) -> str:
    """A word or name as it can be drawn: cut where it is long."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in replace_surrogates(name))
    return text if len(text) <= letters else text[: letters - 1] + "…"


def points(effect: Answer) -> float:
    """An effect as points of probability."""
    return 100 * effect.probability


def scale(effects: Sequence[Answer]) -> Normalize:
    """Colours from the strongest effect against the label to the strongest for it, 0 in the middle."""
    most = max(FLOOR, *(abs(points(effect)) for effect in effects))
    return Normalize(-most, most)


def _font(size: float, weight: str = "normal") -> FontProperties:
    installed = set(get_font_names())
    return FontProperties(family=[name for name in FONTS if name in installed], size=size, weight=weight)


def _say(page: Axes, left: float, base: float, text: str, size: float, colour: str, **more: Any) -> None:
    font = _font(size, more.pop("weight", "normal"))
    page.text(left, base, text, color=colour, fontproperties=font, parse_math=False, **more)


def _head(page: Axes, top: float, effects: LabelEffects) -> None:
    page.plot([MARGIN, WIDTH - MARGIN], [top - 8, top - 8], color=RULE, linewidth=0.8)
    _say(page, MARGIN, top + 9, shown(effects.label, 60), SIZE + 2, INK, weight="bold")
    verdict = "decided" if effects.decided else "not decided"
    text = f"{verdict}: probability {effects.whole.probability:.2f}, threshold {effects.threshold:.2f}"
    _say(page, WIDTH - MARGIN, top + 9, text, SIZE, INK if effects.decided else MUTED, ha="right")


def _sides(image: Image.Image) -> tuple[float, float]:
    factor = SIDE / max(image.size)
    return max(40.0, image.width * factor), max(40.0, image.height * factor)


def _regions(page: Axes, top: float, image: Image.Image, effects: LabelEffects, spec: ImageSpec) -> None:
    """The image under a map of where its regions count, and the colours' bar."""
    wide, high = _sides(image)
    page.imshow(
        image, cmap="gray", vmin=0, vmax=255, extent=(MARGIN, MARGIN + wide, top + high, top), aspect="auto"
    )
    aside, above = (wide - min(wide, high)) / 2, (high - min(wide, high)) / 2
    if spec.fit == "squash":  # the model sees all of it; else the square in the middle
        aside = above = 0.0
    else:
        box = Rectangle(
            (MARGIN + aside, top + above), wide - 2 * aside, high - 2 * above, fill=False, ec=MUTED, lw=0.6
        )
        page.add_patch(box)
    norm = scale([effect for row in effects.regions for effect in row])
    map_ = np.array([[points(effect) for effect in row] for row in effects.regions])
    extent = (MARGIN + aside, MARGIN + wide - aside, top + high - above, top + above)
    page.imshow(map_, cmap=COLOURS, norm=norm, extent=extent, aspect="auto", interpolation="bilinear")
    figure, total = page.figure, page.get_ylim()[0]
    tall = min(high, 160.0)
    place = (MARGIN + wide + 8) / WIDTH, 1 - (top + tall) / total, 7 / WIDTH, tall / total
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), cax=figure.add_axes(place))
    bar.outline.set_linewidth(0.4)
    bar.ax.yaxis.set_major_locator(MaxNLocator(5 if tall > 80 else 3))
    bar.ax.tick_params(labelsize=SMALL, length=2, width=0.4, colors=MUTED)
    bar.set_label("points of probability", fontsize=SMALL, color=MUTED)


def _answers(effects: LabelEffects) -> list[tuple[str, Answer]]:
    halves = (("text alone", effects.text_alone), ("image alone", effects.image_alone))
    named = [(name, answer) for name, answer in halves if answer is not None]
    return [("text and image" if named else "probability", effects.whole), *named]


def _halves_height(effects: LabelEffects) -> float:
    return STEP * len(_answers(effects)) + 8


def _halves(page: Axes, left: float, top: float, effects: LabelEffects) -> None:
    """A bar for the whole and for each half alone, from 0 to 1, and the threshold across them."""
    start, room = left + NAMES, WIDTH - MARGIN - left - NAMES - 34
    rows = _answers(effects)
    for number, (name, answer) in enumerate(rows):
        base = top + number * STEP
        _say(page, left, base + BAR, name, SMALL + 1, MUTED)
        page.add_patch(Rectangle((start, base), room, BAR, color="#f0f0f0", lw=0))
        colour = "#444444" if number == 0 else "#8a8a8a"
        page.add_patch(Rectangle((start, base), room * answer.probability, BAR, color=colour, lw=0))
        _say(page, start + room + 6, base + BAR, f"{answer.probability:.2f}", SMALL + 1, INK)
    at = start + room * effects.threshold
    ends = [top - 2, top + STEP * (len(rows) - 1) + BAR + 2]
    page.plot([at, at], ends, color="white", linewidth=2.6)
    page.plot([at, at], ends, color=INK, linewidth=1.1, label="threshold")


def _words(
    page: Axes, left: float, top: float, effects: LabelEffects, chips: Sequence[Chip], words: Sequence[Word]
) -> None:
    """The text, each word on the colour of its effect, with that as a number below; grey where it is not read."""
    if not chips:
        return
    norm = scale(effects.words)
    for chip in chips:
        x, y, effect = left + chip.left, top + 8 + chip.line * LINE, points(effects.words[chip.index])
        if not words[chip.index].read:
            _say(page, x + 3, y + 11, chip.text, SIZE, FAINT)
            continue
        colour = COLOURS(norm(effect))
        page.add_patch(Rectangle((x, y), chip.width, 15, fc=(*colour[:3], 0.7 * colour[3]), ec=RULE, lw=0.4))
        middle = x + chip.width / 2
        _say(page, middle, y + 11, chip.text, SIZE, INK, ha="center")
        number = f"{effect:+.1f}" if abs(effect) >= 0.05 else "0"
        _say(page, middle, y + 23.5, number.replace("-", "−"), SMALL, MUTED, ha="center")
    if not all(word.read for word in words):
        _say(page, left, top + 2, "grey: behind the tokens that the model reads", SMALL, MUTED)
