"""Lines come in the order in which people read them, however they were found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.runtime.ocr.reading_order import TextLine, sort_lines

CAPTIONS = {
    # Rows of a sketch, 20 x 10 pixels a cell; what stands together in a cell is one box.
    "one below the other": (["c", "b", "a"], "cba"),
    "a line that was found in pieces": (["a b c"], "abc"),
    "two captions, far apart": (["ab", "c", "", "", "", "de"], "abcde"),
    "two columns under a heading": (["hhhhhh", "", "a   d", "b   e", "c   f"], "habcdef"),
    "two images side by side, captions above and below": (["a  b", "", "", "", "", "", "", "c  d"], "abcd"),
    "a caption on the left, a column on the right": (["    x", "a   y", "    z"], "axyz"),
}


def boxes(sketch: list[str]) -> list[TextLine]:
    """A box for each run of one letter."""
    lines = []
    for row, text in enumerate(sketch):
        for letter in dict.fromkeys(text.replace(" ", "")):
            left, right = text.index(letter) * 20, (text.rindex(letter) + 1) * 20
            lines.append(
                TextLine(letter, left + 1, row * 10, right - 1, row * 10 + 11)
            )  # one over the next row's top
    return lines


@pytest.mark.parametrize(("sketch", "order"), CAPTIONS.values(), ids=CAPTIONS)
def test_captions_are_read_as_people_read_them(sketch: list[str], order: str) -> None:
    assert "".join(line.text for line in sort_lines(boxes(sketch)[::-1])) == order


def test_boxes_that_reach_into_each_other_are_read_by_rows() -> None:
    tilted = [TextLine("b", 40, 0, 100, 30), TextLine("a", 0, 2, 60, 32), TextLine("c", 0, 20, 90, 50)]
    assert [line.text for line in sort_lines(tilted)] == ["a", "b", "c"]


edges = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 40), st.integers(1, 20))


@given(
    st.lists(edges, max_size=12, unique=True).flatmap(
        lambda parts: st.tuples(st.just(parts), st.permutations(parts))
    )
)
def test_no_line_is_lost_and_nothing_hangs_on_the_order_they_were_found_in(
    found: tuple[list[tuple[int, int, int, int]], list[tuple[int, int, int, int]]],
) -> None:
    one, other = ([TextLine(str(b), b[0], b[1], b[0] + b[2], b[1] + b[3]) for b in boxes] for boxes in found)
    assert sorted(line.text for line in sort_lines(one)) == sorted(line.text for line in one)
    assert sort_lines(one) == sort_lines(other)


def test_a_page_of_lines_is_no_trouble() -> None:
    page = [TextLine(str(n), 0, 20 * n, 100, 20 * n + 10) for n in range(300)]
    assert sort_lines(page[::-1]) == page
