"""Images that look the same are found whatever their size, quality and format, and no others."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from photos import photo
from PIL import Image, ImageDraw
from scipy.fft import dctn

from distill.data.image_facts import image_facts, look_of
from distill.data.similar import MAX_BITS, near_pairs, similar_groups


def content(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_hash_is_that_of_the_published_method() -> None:
    pixels = np.asarray(photo(1, (32, 32)))
    waves = dctn(pixels @ np.array([0.299, 0.587, 0.114]), type=2)[1:9, 1:9].ravel()
    look = look_of(pixels)
    assert look is not None
    assert f"{look.bits:064b}" == "".join("1" if above else "0" for above in waves > np.median(waves))


def test_copies_of_an_image_are_one_group_and_others_are_not() -> None:
    image = photo(1)
    marked = image.copy()
    ImageDraw.Draw(marked).text((4, 108), "@someone", fill="white")
    copies = [
        content(image),
        content(image, "JPEG", quality=40),
        content(image.resize((320, 240)), "WEBP"),
        content(marked, "JPEG", quality=80),
    ]
    others = [content(photo(seed)) for seed in range(2, 40)]
    groups = similar_groups([image_facts(each) for each in (*copies, *others)])
    assert groups.tolist() == [0, 0, 0, 0, *range(1, 39)]


def test_images_that_differ_in_their_colours_alone_do_not_look_the_same() -> None:
    grey = np.asarray(photo(1).convert("L"), dtype=np.float64) / 2
    red, blue = (np.zeros((*grey.shape, 3)) for _ in range(2))
    red[..., 0], blue[..., 2] = grey, grey * 2
    facts = [image_facts(content(Image.fromarray(each.astype(np.uint8)))) for each in (red, blue)]
    assert similar_groups(facts).tolist() == [0, 1]


def test_images_of_one_colour_are_equal_or_not_but_never_alike() -> None:
    facts = [image_facts(content(Image.new("RGB", (40, 30), colour))) for colour in ("red", "blue", "red")]
    assert [fact.look for fact in facts] == [None, None, None]
    assert similar_groups(facts).tolist() == [0, 1, 0]


def test_equal_images_are_in_the_group_of_what_looks_like_one_of_them() -> None:
    fact = image_facts(content(photo(1)))
    copy = replace(fact, sha256="another")
    assert similar_groups([fact, copy, fact, image_facts(content(photo(2))), copy]).tolist() == [0, 0, 0, 1, 0]
    assert similar_groups([]).tolist() == []


@pytest.mark.parametrize("seed", range(3))
def test_every_near_pair_is_found_as_by_comparing_all(seed: int) -> None:
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2**64, 300, dtype=np.uint64)
    for row in range(100, 300):  # each is another one with 0 to 9 bits turned
        turned = generator.choice(64, int(generator.integers(0, 10)), replace=False).tolist()
        bits[row] = bits[row - 100] ^ np.uint64(sum(1 << place for place in turned))
    near = np.bitwise_count(bits[:, None] ^ bits[None, :]) <= MAX_BITS
    expected = {(int(a), int(b)) for a, b in zip(*np.nonzero(np.triu(near, 1)), strict=True)}
    assert len(expected) > 100
    found = near_pairs(bits, np.zeros((300, 48), dtype=np.uint8))
    assert {(min(pair), max(pair)) for pair in found} == expected
    assert len(found) == len(expected)


def test_the_facts_of_an_image_are_of_its_content() -> None:
    fact = image_facts(content(photo(1, (161, 90)), "JPEG"))
    assert (fact.format, fact.width, fact.height) == ("JPEG", 161, 90)
