"""HEIC: the limits hold for the pictures inside, and without the extra one line says what to install."""

from __future__ import annotations

import base64
import sys

import numpy as np
import pytest

from distill.core.errors import ImageError
from distill.preprocess.image_limits import heic
from distill.preprocess.images import ImageSpec, image_to_uint8, open_image

# Red, 64 x 64 pixels, written by libheif.
RED = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9j"
    "AAAAAERAAAEAAQAAAAABegABAAAAAAAAAB0AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlw"
    "cnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AA"
    "AAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAA"
    "AABAAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACVtZGF0AAAAGSgBrxOA5qhw0//+JpR//Trnh+nl0tJ5"
    "v3w="
)
SPEC = ImageSpec(24, "squash", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_a_heic_is_known_by_its_brands() -> None:
    assert heic.is_heic(RED)
    assert heic.is_heic(RED.replace(b"ftypheic", b"ftypmif1", 1))
    assert not heic.is_heic(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf")
    assert not heic.is_heic(b"\0\0\0\x18ftypisom" + bytes(20))


def test_the_limit_holds_for_the_pictures_whatever_the_header_says() -> None:
    heic.check(RED, 64 * 64)
    at = RED.index(b"ispe") + 8
    lie = RED[:at] + (1).to_bytes(4, "big") * 2 + RED[at + 8 :]
    for content in (RED, lie):
        with pytest.raises(ImageError, match=r"^64 x 64 pixels, over the limit of 4,095; resize it$"):
            heic.check(content, 64 * 64 - 1)


def test_a_heic_that_does_not_say_its_size_is_refused() -> None:
    for name in (b"hvcC", b"hvc1"):
        with pytest.raises(ImageError, match="it holds no HEVC picture"):
            heic.check(RED.replace(name, b"none"), 10**6)


@pytest.mark.parametrize("end", range(0, len(RED), 23))
def test_a_heic_that_is_cut_off_is_refused_in_one_line(end: int) -> None:
    with pytest.raises(ImageError) as refused:
        image_to_uint8(RED[:end], SPEC)
    assert "\n" not in str(refused.value)


def test_without_the_extra_one_line_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        ImageError, match=r"a\.heic: a HEIC needs pillow_heif; pip install 'distill\[heic\]', or save it as JPEG$"
    ):
        open_image(RED, "a.heic")


def test_with_the_extra_a_heic_is_an_image_like_others() -> None:
    pytest.importorskip("pillow_heif")
    pixels = image_to_uint8(RED, SPEC)
    assert np.abs(pixels.astype(int) - (254, 0, 0)).max() < 5
    with pytest.raises(ImageError, match="over the limit"):
        open_image(RED, max_pixels=100)
