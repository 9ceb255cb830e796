"""The page of a benchmark in a real browser, in windows wide and narrow, light and dark."""

from __future__ import annotations

import json
import re
from html import escape, unescape
from typing import Any

import pytest
from bench_reports import VARIANTS, report
from pages import BROWSER, MEASURE, SCHEMES, browse

from bench.report.page import to_html

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium and no chrome here; apt install chromium")


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


def test_the_window_has_the_scheme_and_width_asked_for(seen: tuple[str, list[dict[str, Any]]]) -> None:
    scheme, pages = seen
    assert [page["inner"] for page in pages] == [1200, 360] * 3
    assert {page["dark"] for page in pages} == {scheme == "dark"}


def test_every_image_is_drawn_inside_the_window(seen: tuple[str, list[dict[str, Any]]]) -> None:
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


def test_no_label_lies_on_another_or_outside_its_image(seen: tuple[str, list[dict[str, Any]]]) -> None:
    for page in seen[1]:
        assert page["crossings"] == []
        assert page["outside"] == []
        assert page["smallest"] >= 7
