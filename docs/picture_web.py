"""Draw docs/web.png: the page of a Bundle in headless Chromium, with an image made here.

    python docs/image_web.py PAGE

PAGE was written by `distill export --web`. The image and its text are nobody's.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

import click
from PIL import Image, ImageDraw, ImageFont

from distill.core.files import write_bytes

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from chromium import Tab, browse, served  # noqa: E402

OUT = ROOT / "docs" / "web.png"
TEXT = "They are lying to you again.\nOnly a fool would believe it!"
COLOURS = 200  # of the PNG, to keep it small


def draw(out: Path) -> None:
    """A sky, a hill, a house, and the text in white."""
    image = Image.new("RGB", (420, 320), (120, 170, 220))
    pen = ImageDraw.Draw(image)
    pen.ellipse((-100, 180, 520, 520), fill=(70, 130, 70))
    pen.rectangle((170, 130, 270, 220), fill=(190, 90, 70))
    pen.polygon([(150, 135), (220, 75), (290, 135)], fill=(90, 50, 50))
    font = ImageFont.load_default(26)
    for line, y in zip(TEXT.splitlines(), (10, 275), strict=True):
        pen.text((210, y), line, font=font, fill="white", anchor="mt", stroke_width=2, stroke_fill="black")
    image.save(out)


def ask(tab: Tab, image: Path) -> None:
    """Give it the image and the text, and have the answer explained."""
    tab.until("/^Ready/.test(document.getElementById('state').textContent)")
    tab.choose("#file", image)
    tab.until("!document.getElementById('stage').hidden && !document.getElementById('explain').disabled")
    tab.run(f"text.value = {json.dumps(TEXT)}; text.dispatchEvent(new Event('input')); explain.disabled = true")
    tab.until("!explain.disabled")
    tab.run("explain.click()")
    tab.until("document.getElementById('effects').children.length")
    tab.run("document.activeElement.blur()")


@click.command()
@click.argument("page", type=click.Path(path_type=Path))
def main(page: Path) -> None:
    """Write docs/web.png."""
    with tempfile.TemporaryDirectory() as work, served(page) as url, browse(Path(work) / "profile") as tab:
        draw(Path(work) / "image.png")
        tab.look(1100)
        tab.open(f"{url}/index.html")
        ask(tab, Path(work) / "image.png")
        tab.screenshot(Path(work) / "shot.png")
        buffer = io.BytesIO()
        Image.open(Path(work) / "shot.png").convert("RGB").quantize(COLOURS).save(buffer, "PNG", optimize=True)
    write_bytes(OUT, buffer.getvalue())


if __name__ == "__main__":
    main()
