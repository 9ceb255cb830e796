"""Pairs of images above and below the limit of looking the same, to be looked at: the counts in docs/data.md."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw

from distill.data.image_facts import ImageFacts, read_facts
from distill.data.similar import MAX_COLOUR
from experiments.results import PATH

BITS = range(0, 12, 2)  # half of a hash's bits are 1, so two differ in an even number
SHOWN, COLUMNS, SIDE = 24, 4, 200  # pairs of a sheet, and pixels of an image
Pair = tuple[int, float, Path, Path]


@click.command("near-duplicates")
@click.argument("folders", nargs=-1, required=True, type=PATH)
@click.option("--out", required=True, type=PATH, help="New folder for the sheets, which show the images.")
@click.option("--seed", default=3, show_default=True, help="Seed of the pairs that are drawn.")
def sheets(folders: tuple[Path, ...], out: Path, seed: int) -> None:
    """Draw pairs of images by the bits in which their hashes differ.

    Prints the number of pairs of images in each of FOLDERS that are not equal, and writes a sheet of some of them
    for each number of bits. Whether they are the same image is for eyes to say.
    """
    out.mkdir()
    for folder in folders:
        pairs = pairs_of(sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png")))
        counts = Counter((bits, colour <= MAX_COLOUR) for bits, colour, *_ in pairs)
        for bits in BITS:
            print(f"{folder.name}: {bits} bits: {counts[bits, True]} pairs, {counts[bits, False]} of other colours")
            chosen = [pair for pair in pairs if pair[0] == bits]
            random.Random(seed).shuffle(chosen)
            if chosen:
                draw(chosen[:SHOWN], out / f"{folder.name}-{bits}.png")


def pairs_of(images: Sequence[Path]) -> list[Pair]:
    """The bits and colours in which images differ that are not equal, of all pairs up to the last of BITS."""
    facts = zip(images, read_facts(images), strict=True)
    seen = {fact.sha256: (path, fact.look) for path, fact in facts if isinstance(fact, ImageFacts) and fact.look}
    paths, looks = [path for path, _ in seen.values()], [look for _, look in seen.values()]
    hashes = np.array([look.bits for look in looks], dtype=np.uint64)
    colours = np.array([list(look.colours) for look in looks], dtype=np.float32)
    pairs = []
    for one in range(len(paths)):
        bits = np.bitwise_count(hashes[one] ^ hashes[one + 1 :])
        for other in np.flatnonzero(bits <= max(BITS)) + one + 1:
            colour = float(np.abs(colours[one] - colours[other]).mean())
            pairs.append((int(bits[other - one - 1]), colour, paths[one], paths[other]))
    return pairs


def draw(pairs: Sequence[Pair], path: Path) -> None:
    """The pairs side by side, under their differences."""
    sheet = Image.new("RGB", (COLUMNS * (2 * SIDE + 16), -(-len(pairs) // COLUMNS) * (SIDE + 16)), "white")
    for number, (bits, colour, *images) in enumerate(pairs):
        x, y = number % COLUMNS * (2 * SIDE + 16), number // COLUMNS * (SIDE + 16)
        ImageDraw.Draw(sheet).text((x, y), f"{number}: {bits} bits, colours {colour:.1f}", fill="red")
        for place, image in enumerate(images):
            with Image.open(image) as opened:
                small = opened.convert("RGB")
            small.thumbnail((SIDE, SIDE - 2))
            sheet.paste(small, (x + place * SIDE, y + 14))
    sheet.save(path)
