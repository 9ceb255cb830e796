"""Captions drawn with Pillow are read back, from any image that is read here, and from no other."""

from __future__ import annotations

import io
import json
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chain import Chain
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from distill.cli.main import main
from distill.core.errors import ImageError, InstallError
from distill.data.sources import InMemoryExample
from distill.runtime.ocr.cache import OcrCache
from distill.runtime.ocr.reader import MAX_PIXELS, MAX_RATIO, TextReader
from distill.runtime.predictions import read_missing_texts

UPPER, LOWER = "WHEN THE TESTS ARE GREEN", "on the first try"


def captioned() -> Image.Image:
    """An image with a caption at its top and one at its foot."""
    image = Image.new("RGB", (640, 480), (240, 230, 210))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(36)
    draw.text((32, 24), UPPER, (20, 20, 20), font)
    draw.text((32, 384), LOWER, (20, 20, 20), font)
    return image


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def ocr() -> TextReader:
    return TextReader(threads=1)


def test_captions_are_read_word_by_word_and_line_by_line(ocr: TextReader, tmp_path: Path) -> None:
    path = tmp_path / "meme.bin"  # by content, whatever its name
    path.write_bytes(encoded(captioned()))
    assert ocr.read(path) == f"{UPPER}\n{LOWER}"


def test_an_image_is_read_upright_and_on_white(ocr: TextReader) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = captioned().transpose(Image.Transpose.ROTATE_90)
    assert ocr.read(encoded(turned, "JPEG", exif=exif)) == f"{UPPER}\n{LOWER}"
    ink = captioned().convert("L").point(lambda value: 255 - value)
    black = Image.merge("LA", (Image.new("L", ink.size), ink))  # its colour alone is black all over
    assert ocr.read(encoded(black)) == f"{UPPER}\n{LOWER}"


def test_an_image_without_text_reads_as_nothing(ocr: TextReader) -> None:
    assert ocr.read(encoded(Image.new("RGB", (200, 150), "olive"))) == ""
    assert ocr.read(encoded(Image.new("RGB", (9000, 3), "olive"))) == ""


@pytest.mark.parametrize("size", [(4000, 3000), (9000, 9), (9, 5000)])
def test_a_large_image_and_a_strip_are_bounded_first(
    ocr: TextReader, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    shapes = []

    def engine(pixels: Any) -> Any:
        shapes.append(pixels.shape)
        return SimpleNamespace(txts=None)

    monkeypatch.setattr(ocr, "_engine", engine)
    assert ocr.read(encoded(Image.new("RGB", size))) == ""
    ((height, width, _),) = shapes
    assert height * width <= MAX_PIXELS * 1.01
    assert max(height, width) <= MAX_RATIO * min(height, width) * 1.01
    assert (width > height) == (size[0] > size[1])


def test_an_image_that_cannot_be_read_is_named(ocr: TextReader, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"a\.svg: not an image in a supported format"):
        ocr.read(b"<svg/>", "a.svg")
    with pytest.raises(ImageError, match=r"half\.jpg: the image is damaged"):
        ocr.read(encoded(captioned(), "JPEG")[:3000], "half.jpg")

    def broken(_: Any) -> Any:
        raise RuntimeError("no kernel")

    monkeypatch.setattr(ocr, "_engine", broken)
    with pytest.raises(ImageError, match=r"whole\.png: its text cannot be read: no kernel"):
        ocr.read(encoded(captioned()), "whole.png")


def test_reading_needs_no_network_and_keeps_to_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    own = TextReader(threads=1)
    assert own.read(encoded(captioned())).startswith(UPPER)
    used = own._engine.text_rec.session.session.get_session_options()
    assert (used.intra_op_num_threads, used.inter_op_num_threads) == (1, 1)


def test_without_the_package_one_line_says_what_to_install(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(InstallError):
        TextReader()
    for words in (
        ["predict", chain.int8, chain.data / "images", "--ocr"],
        ["data", "ocr", chain.data, "--in-place"],
    ):
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line == "error: reading images needs rapidocr; pip install 'distill[ocr]'"


def test_predict_answers_an_image_with_the_text_on_it(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "meme.png"
    path.write_bytes(encoded(captioned()))
    asked = ["predict", str(chain.int8), "--image", str(path), "--threads", "1"]
    read = json.loads(CliRunner().invoke(main, [*asked, "--ocr"]).stdout)
    typed = json.loads(CliRunner().invoke(main, [*asked, "--text", f"{UPPER}\n{LOWER}"]).stdout)
    assert read.pop("ocr_text") == f"{UPPER}\n{LOWER}"
    assert read == typed


def test_an_image_that_a_row_brought_along_is_read_and_remembered(tmp_path: Path) -> None:
    asked: list[Any] = []

    def read(source: Path | bytes) -> str:
        asked.append(source)
        return UPPER

    content = encoded(captioned())
    posts = [
        InMemoryExample("1", "", content, "row 1"),
        InMemoryExample("2", "", content, "row 2"),
        InMemoryExample("3", LOWER, content, "row 3"),
    ]
    with OcrCache(tmp_path / "read", SimpleNamespace(name="fake", read=read)) as cache:
        filled = list(read_missing_texts(posts, cache.read))
    assert [post.text for post, _ in filled if isinstance(post, InMemoryExample)] == [UPPER, UPPER, LOWER]
    assert [text for _, text in filled] == [UPPER, UPPER, None]
    assert asked == [content]
