"""The figures of README.md and docs are those of the committed measurements, and the tree is that of the code."""

from __future__ import annotations

from pathlib import Path

from experiments import export, pages, reliability

from bench.report.kit.text import milliseconds

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("distill", "teacher", "student", "export", "bench")


def test_the_pages_figures_are_made_from_the_committed_json() -> None:
    for page in pages.PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert pages.render(page, text) == text


def test_the_tree_of_the_code_names_every_package() -> None:
    page = (ROOT / "docs" / "code.md").read_text(encoding="utf-8")
    packages = [path.parent for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")]
    assert [path.name for path in packages if f"{path.name}/" not in page] == []


def test_the_image_in_the_readme_shows_every_variant_of_the_measurement() -> None:
    image = (ROOT / "docs" / "front.svg").read_text(encoding="utf-8")
    for row in export.report(export.FILMS).rows:
        assert (
            f"{row.name} {row.quality.micro_f1.value:.3f} at {milliseconds(row.timings[0].p50.value)} ms" in image
        )


def test_every_fault_that_is_counted_is_injected_by_a_test() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = [name for names in reliability.TESTS.values() for name in names]
    assert [name for name in names if f"def test_{name}(" not in tests] == []
