"""Pages as a parser and as a browser see them."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


SCHEMES = {"dark": 0, "light": 1}


# The page stands in frames, untouched: a window cannot be made as narrow as a telephone, a frame can, and what
# measures it stays outside, where the page's own policy forbids no script.
MEASURE = """
const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
const luminance = (colour) => {
  const parts = numbers(colour).map((v) => v / 255)
  const [r, g, b] = parts.map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
const contrast = (a, b) => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x)
  return (light + 0.05) / (dark + 0.05)
}
const crossings = (svg) => {
  const texts = [...svg.querySelectorAll('text')]
  const boxes = texts.map((text) => text.getBoundingClientRect())
  const found = []
  for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
    const [a, b] = [boxes[i], boxes[j]]
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left)
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
    // Boxes of letters hold the line's height: a quarter of it may be shared without one letter touching another.
    if (wide > 1 && high > 0.3 * Math.min(a.height, b.height))
      found.push(texts[i].textContent + ' / ' + texts[j].textContent)
  }
  return found
}
const measure = (frame) => {
  const page = frame.contentDocument, view = frame.contentWindow
  const paper = view.getComputedStyle(page.body).backgroundColor
  const svgs = [...page.querySelectorAll('svg')]
  const prose = [...page.querySelectorAll('p, li, td, th, figcaption, caption, summary, h1, h2, h3')]
  return {
    dark: view.matchMedia('(prefers-color-scheme: dark)').matches,
    inner: view.innerWidth,
    scroll: page.documentElement.scrollWidth,
    svgs: svgs.map((svg) => { const b = svg.getBoundingClientRect(); return [b.left, b.right, b.width, b.height] }),
    outside: svgs.flatMap((svg) => [...svg.querySelectorAll('text')].filter((text) => {
      const [a, b] = [text.getBoundingClientRect(), svg.getBoundingClientRect()]
      return a.left < b.left - 2 || a.right > b.right + 2 || a.top < b.top - 4 || a.bottom > b.bottom + 4
    }).map((text) => text.textContent)),
    crossings: svgs.flatMap(crossings),
    smallest: Math.min(...svgs.flatMap((svg) => [...svg.querySelectorAll('text')].map((text) =>
      parseFloat(view.getComputedStyle(text).fontSize) * svg.getScreenCTM().a))),
    body: contrast(view.getComputedStyle(page.body).color, paper),
    prose: Math.min(...prose.map((part) => contrast(view.getComputedStyle(part).color,
      part.closest('.noisy') ? view.getComputedStyle(part.closest('.noisy')).backgroundColor : paper))),
    letters: Math.min(...svgs.flatMap((svg) => [...svg.querySelectorAll('text')].map((text) =>
      contrast(view.getComputedStyle(text).fill, paper)))),
    undrawn: svgs.flatMap((svg) => [...svg.querySelectorAll('use')].filter((use) => use.getBBox().width === 0 &&
      use.getBBox().height === 0)).length,
  }
}
onload = () => {
  const result = document.createElement('pre')
  result.id = 'result'
  result.textContent = JSON.stringify([...document.querySelectorAll('iframe')].map(measure))
  document.body.append(result)
}
"""


def browse(page: Path, profile: Path, *flags: str) -> str:
    """The page's tree once all is loaded; any line on the browser's console is an error."""
    assert BROWSER is not None
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        "--hide-scrollbars",
        "--window-size=1300,1000",
        "--virtual-time-budget=5000",
        "--enable-logging=stderr",
    ]
    command += [f"--user-data-dir={profile}", *flags, "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
    assert said == []
    return done.stdout.decode(errors="replace")


class Read(HTMLParser):
    """What a parser makes of a page: tags with attributes, and the text outside style sheets."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)
