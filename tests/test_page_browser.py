"""The page of a benchmark in a real browser, in windows wide and narrow, light and dark."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from bench_reports import VARIANTS, report

from bench.page import to_html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium and no chrome here; apt install chromium")
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


def many() -> str:
    """Nine variants, of which some are close together, on a noisy machine."""
    more = [("student OpenVINO NNCF int8", "OpenVINO", 14.6, 70.0, 200.0, 0.5)]
    more += [
        (f"student peer number {i}, int8", "peer", 15.0 * 1.4**i, 75.0, 300.0, 0.5 + 0.02 * i) for i in range(4)
    ]
    return to_html([report((*VARIANTS[:2], *more, *VARIANTS[2:]), noisy=True, calls=100)])


def several() -> str:
    """Three devices."""
    return to_html([report(), report(machine="garden-pi", slower=6), report(started="2026-01-03", seed=3)])


@pytest.fixture(scope="module", params=list(SCHEMES))
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[dict[str, Any]]]:
    """The scheme, and what the browser measured of each page at 1200 and at 360 px."""
    folder = tmp_path_factory.mktemp("browser")
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{escape(html)}"></iframe>'
        for html in (to_html([report()]), many(), several())
        for width in (1200, 360)
    )
    wrapper = folder / "wrapper.html"
    head = '<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    wrapper.write_text(f"{head}<body>{frames}<script>{MEASURE}</script>", encoding="utf-8")
    dom = browse(wrapper, folder / "profile", f"--blink-settings=preferredColorScheme={SCHEMES[request.param]}")
    found = re.search(r'<pre id="result">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None
    return request.param, json.loads(unescape(found[1]))


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


def test_the_window_has_the_scheme_and_width_asked_for(seen: tuple[str, list[dict[str, Any]]]) -> None:
    scheme, pages = seen
    assert [page["inner"] for page in pages] == [1200, 360] * 3
    assert {page["dark"] for page in pages} == {scheme == "dark"}


def test_every_picture_is_drawn_inside_the_window(seen: tuple[str, list[dict[str, Any]]]) -> None:
    for page in seen[1]:
        assert len(page["svgs"]) >= 8
        for left, right, width, height in page["svgs"]:
            assert width > 250
            assert height > 50
            assert left >= 0
            assert right <= page["inner"]
        assert page["undrawn"] == 0


def test_the_page_does_not_scroll_sideways(seen: tuple[str, list[dict[str, Any]]]) -> None:
    assert all(page["scroll"] <= page["inner"] for page in seen[1])


def test_text_has_contrast(seen: tuple[str, list[dict[str, Any]]]) -> None:
    for page in seen[1]:
        assert min(page["body"], page["prose"], page["letters"]) >= 4.5


def test_no_label_lies_on_another_or_outside_its_picture(seen: tuple[str, list[dict[str, Any]]]) -> None:
    for page in seen[1]:
        assert page["crossings"] == []
        assert page["outside"] == []
        assert page["smallest"] >= 7
