"""The page of a benchmark: what it says and what cannot get into it. test_page_browser.py looks at it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bench_reports import VARIANTS, report
from chain import ROOT, SUPPORT
from markupsafe import escape
from pages import Read

from bench.report.kit.style import COLOURS, INK, LOUD, MUTED, OTHER_STAGE, OTHERS, OWN, PAPER, STAGES
from bench.report.page import to_html, write
from bench.report.page.devices import devices_of
from bench.report.page.sentences import answer
from bench.report.types import BenchReport, read
from distill.core.errors import BenchError
from distill.core.storage.files import write_json
from distill.scoring.estimate import Estimate


@pytest.fixture(scope="module")
def one() -> BenchReport:
    return report()


@pytest.fixture(scope="module")
def page(one: BenchReport) -> str:
    return to_html([one])


@pytest.fixture(scope="module")
def several() -> list[BenchReport]:
    return [
        report(),
        report(machine="garden-pi", slower=6, calls=40, noisy=True, threads=(1,), batches=()),
        report(started="2026-01-03 00:00:00 UTC", examples_sha256="cd" * 32, seed=3),
    ]


def test_every_variants_figures_stand_in_the_page_as_in_the_report(one: BenchReport, page: str) -> None:
    for row in one.rows:
        line = next(part for part in page.split("<tr") if f">{row.name}</th>" in part)
        q, timing = row.quality, row.timings[0]
        assert timing.p90 is not None
        assert timing.p99 is not None
        for figure in (
            f"{q.micro_f1:.3f}",
            f"{q.macro_f1:.3f}",
            f"{timing.p50.value:.1f} [{timing.p50.low:.1f}, {timing.p50.high:.1f}]",
            f">{timing.p90.value:.1f}<",
            f">{timing.p99.value:.1f}<",
            f">{row.cold.total_ms / 1000:.2f}<",
            f">{row.size_bytes / 1e6:.1f}<",
        ):
            assert figure in line
        assert f">{row.memory.peak_bytes / 1e6:.0f}<" in line
        above = (row.memory.peak_bytes - row.memory.imported.rss_bytes) / 1e6
        assert f">+{above:.0f}<" in memory_lines(page, row.name)
        for label in q.labels:
            assert f">{label.f1:.3f}<" in page
        for part in row.reliability:
            assert f">{part.count}<" in page


def test_the_same_reports_give_the_same_bytes_in_another_process(page: str) -> None:
    code = "from bench_reports import report; from bench.report.page import to_html; print(to_html([report()]))"
    assert run(code).strip() == page.strip()


def test_a_report_read_from_its_json_gives_the_same_page(one: BenchReport, page: str, tmp_path: Path) -> None:
    write_json(tmp_path / "bench.json", one.to_json())
    assert to_html([read(tmp_path / "bench.json")]) == page


def test_nothing_comes_from_elsewhere_and_there_is_no_script(page: str) -> None:
    assert "://" not in page
    parsed = Read(page)
    assert not {"script", "link", "iframe", "object", "embed", "img", "image", "base"} & {
        tag for tag, _ in parsed.tags
    }
    for _, attributes in parsed.tags:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "action")]
        assert (attributes.get("href") or "#").startswith("#")
        assert "url(" not in re.sub(r"url\(#", "", " ".join(value or "" for value in attributes.values()))


def test_names_from_a_report_stay_text_whatever_they_hold() -> None:
    evil = "<script>alert(1)</script> & $x_1$ \x00\x1b[31m \ud800 \u202e #00a101 \N{CJK UNIFIED IDEOGRAPH-7D66}"
    variants = [(f'{evil}" onload="x', *VARIANTS[2][1:]), (f"</style></svg>{evil}", *VARIANTS[3][1:])]
    found = report(variants, labels=[evil, f"{evil} b", "plain"], machine=evil, noisy=True)
    found = replace(found, noise=replace(found.noise, reasons=(evil,)))
    html = to_html([found, found])
    html.encode("utf-8")
    parsed = Read(html)
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert not any(key.startswith("on") for _, attributes in parsed.tags for key in attributes)
    text = "".join(parsed.text)
    assert "<script>alert(1)</script> & $x_1$" in text
    assert "#00a101" in text
    assert not {"\x00", "\x1b", "\u202e"} & set(html)


def test_ids_are_unique_and_all_references_arrive(several: list[BenchReport]) -> None:
    html = to_html(several)
    ids = [attributes["id"] for _, attributes in Read(html).tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', html)) == set(ids)


def test_images_have_a_name_and_no_colour_that_a_theme_could_not_change(page: str) -> None:
    images = [attributes for tag, attributes in Read(page).tags if tag == "svg"]
    assert len(images) == 9
    assert all(image["role"] == "img" and len(image["aria-label"] or "") > 40 for image in images)
    assert re.findall(r"#[0-9a-f]{3,8}\b", page.partition("</style>")[2]) == []


def test_a_table_names_its_columns_and_lines(page: str) -> None:
    assert page.count("<h1>") == 1
    assert '<html lang="en">' in page
    assert page.count("<table>") == page.count("<caption>")
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in Read(page).tags if tag == "th")


def test_several_reports_become_one_page(several: list[BenchReport]) -> None:
    html = to_html(several)
    assert [device.title for device in devices_of(several)] == [
        "small-box (2026-01-02 03:04:05 UTC)",
        "garden-pi",
        "small-box (2026-01-03 00:00:00 UTC)",
    ]
    for device in devices_of(several):
        assert f"Time and memory on {device.title}" in html
        assert f"{device.glyph} {device.title}</td>" in html
    # Two of the three were measured on the same examples.
    assert "Quality on small-box (2026-01-02 03:04:05 UTC), garden-pi" in html
    assert "Quality on small-box (2026-01-03 00:00:00 UTC)" in html
    assert html.count("<h3>F1 by label</h3>") == 2
    assert html.count("<h3>Micro-F1 against latency</h3>") == 1


def test_reports_of_one_machine_and_one_moment_are_numbered(one: BenchReport) -> None:
    titles = [device.title for device in devices_of([one, one])]
    assert len(set(titles)) == 2


def test_devices_that_decide_otherwise_on_the_same_examples_are_named(one: BenchReport) -> None:
    own = replace(one.own, quality=replace(one.own.quality, micro_f1=Estimate(0.1234, 0.1, 0.2)))
    other = replace(one, machine=replace(one.machine, name="other"), rows=(*one.rows[:-1], own))
    assert "student int8 ONNX does not decide alike everywhere" in to_html([one, other])


def test_a_noisy_machine_is_said_aloud_with_its_reasons() -> None:
    found = report(noisy=True)
    html = to_html([found])
    assert "NOISY: do not quote these times" in html
    assert all(escape(reason) in html for reason in found.noise.reasons)
    assert "Ship" not in html
    assert answer(found).startswith("Do not decide by these times")


def test_quantiles_without_calls_enough_are_not_made_up() -> None:
    html = to_html([report(calls=100)])
    assert ">too few calls</td>" in html
    assert "p99 368" in html
    assert "p99" not in html.partition("Every call")[2].partition("</svg>")[0].partition("<svg")[2]


def test_one_variant_without_stages_work_or_peaks_still_makes_a_page() -> None:
    found = report(VARIANTS[-1:], threads=(1,), batches=(), labels=("a", "b", "c"))
    bare = replace(found.own, stages=(), work=None, reliability=(), joules=None)
    html = to_html([replace(found, rows=(bare,), peaks=())])
    assert "was measured alone" in html
    assert "Where the time goes" not in html


def test_colours_of_text_have_contrast_in_both_themes() -> None:
    for theme in ("light", "dark"):
        paper, ink = getattr(PAPER, theme), getattr(INK, theme)
        for colour in (INK, MUTED, OWN, *OTHERS):
            assert contrast(getattr(colour, theme), paper) >= 4.5, (colour.name, theme)
        for colour in (*STAGES, OTHER_STAGE, LOUD):
            assert contrast(getattr(colour, theme), ink) >= 4.5, (colour.name, theme)
    assert len({colour.drawn for colour in COLOURS}) == len({colour.name for colour in COLOURS}) == len(COLOURS)


def test_the_page_is_written_whole(one: BenchReport, page: str, tmp_path: Path) -> None:
    write([one], tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == page
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_without_matplotlib_the_next_step_is_said() -> None:
    code = """import sys; sys.modules['matplotlib'] = None
from bench_reports import report; from bench.report.page import to_html
from distill.core.errors import InstallError
from distill.core.storage.files import write_json
try: to_html([report()])
except InstallError as error: print(error)"""
    assert "pip install 'distill[plots]'" in run(code)


def test_no_report_is_an_error() -> None:
    with pytest.raises(BenchError, match="no report"):
        to_html([])


def memory_lines(page: str, name: str) -> str:
    """The row of a variant in the table of memory."""
    table = page.partition("<caption><span>Memory")[2].partition("</table>")[0]
    return next(part for part in table.split("<tr") if f">{name}</th>" in part)


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    paths = f"import sys; sys.path[:0] = {[str(SUPPORT), str(ROOT)]!r}\n"
    done = subprocess.run([sys.executable, "-c", paths + code], capture_output=True, check=True, timeout=120)
    return done.stdout.decode()


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two hex colours."""
    light = sorted(
        (luminance(tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))) for text in (one, other)), reverse=True
    )
    return (light[0] + 0.05) / (light[1] + 0.05)


def luminance(rgb: tuple[int, ...]) -> float:
    parts = [v / 255 for v in rgb]
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
