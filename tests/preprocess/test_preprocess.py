"""Images of every kind and texts of every kind to arrays, against Pillow, torchvision and transformers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from chain import Chain
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from torchvision.transforms import v2

from distill.core.errors import ImageError, RecipeError
from distill.preprocess import images
from distill.preprocess.images import ImageSpec, image_to_uint8
from distill.preprocess.inputs import Preprocessor, PreprocessSpec, warn_of_capitals, warn_of_cut_texts
from distill.preprocess.text import TextSpec, pad
from distill.runtime.bundle import Bundle

SPEC = ImageSpec(size=24, fit="squash", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def red(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new("RGB", size, (200, 30, 40)).convert(mode)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (encoded(red(), "PNG"), (200, 30, 40)),
        (encoded(red("P"), "GIF"), (200, 30, 40)),
        (encoded(red("CMYK"), "JPEG", quality=95), (200, 30, 40)),
        (encoded(red("L"), "PNG"), (82, 82, 82)),
        (encoded(Image.new("RGBA", (8, 8), (200, 30, 40, 0)), "PNG"), (255, 255, 255)),
        (encoded(Image.new("I;16", (8, 8), 65535), "PNG"), (255, 255, 255)),
        (encoded(Image.new("I;16", (8, 8), 32896), "PNG"), (128, 128, 128)),
        (encoded(Image.new("1", (8, 8), 1), "PNG"), (255, 255, 255)),
        (encoded(red(size=(1, 1)), "PNG"), (200, 30, 40)),
        (encoded(red(size=(3000, 1)), "PNG"), (200, 30, 40)),
        (encoded(red(), "GIF", save_all=True, append_images=[Image.new("RGB", (40, 30), "blue")]), (200, 30, 40)),
    ],
    ids=[
        "rgb",
        "palette",
        "cmyk",
        "grey",
        "transparent",
        "16bit-white",
        "16bit-grey",
        "bitmap",
        "1x1",
        "thin",
        "gif",
    ],
)
def test_every_kind_of_image_becomes_its_colour(content: bytes, colour: tuple[int, int, int]) -> None:
    pixels = image_to_uint8(content, SPEC)
    assert pixels.shape == (24, 24, 3)
    assert pixels.dtype == np.uint8
    # CMYK without a colour profile and GIF palettes are not exact
    assert np.abs(pixels.reshape(-1, 3).mean(0) - colour).max() < 8


def test_an_image_is_turned_upright_by_its_exif() -> None:
    left_red = Image.new("RGB", (64, 32), "blue")
    left_red.paste(Image.new("RGB", (32, 32), "red"))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = image_to_uint8(encoded(left_red, "JPEG", exif=exif, quality=95), SPEC)
    assert pixels[:, -4:, 0].mean() > 200
    assert pixels[:, :4, 2].mean() > 200


def test_draft_decoding_stays_close_to_full_decoding() -> None:
    generator = np.random.default_rng(0)
    smooth = Image.fromarray(generator.integers(0, 255, (12, 12, 3), dtype=np.uint8)).resize((800, 600), 3)
    drafted = image_to_uint8(encoded(smooth, "JPEG", quality=95), SPEC).astype(int)
    whole = np.asarray(smooth.resize((24, 24), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(drafted - whole).mean() < 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image"),
        (b"<html></html>", "not an image"),
        (encoded(Image.effect_noise((300, 300), 90), "JPEG")[:2000], "damaged"),
        (encoded(Image.effect_noise((300, 300), 90), "PNG")[:5000], "damaged"),
    ],
)
def test_a_bad_image_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        image_to_uint8(path, SPEC)
    assert str(path) in str(caught.value)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(ImageError, match=r"200 x 100 pixels, over the limit of 1,000"):
        image_to_uint8(encoded(red(size=(200, 100)), "PNG"), SPEC)
    assert images.MAX_PIXELS == 1000


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_image_or_our_own_error(content: bytes) -> None:
    for prefix in (b"", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF0000WEBP"):
        try:
            assert image_to_uint8(prefix + content, SPEC).shape == (24, 24, 3)
        except ImageError:
            continue


def test_normalise_agrees_with_torchvision() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    reference = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(SPEC.mean, SPEC.std)])
    expected = reference(torch.from_numpy(pixels.transpose(0, 3, 1, 2))).numpy()
    found = images.normalise(pixels, SPEC)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5


def test_crop_keeps_the_middle_and_squash_keeps_all() -> None:
    wide = Image.new("RGB", (90, 30), "black")
    wide.paste(Image.new("RGB", (30, 30), "white"), (30, 0))
    cropped = image_to_uint8(encoded(wide, "PNG"), ImageSpec(24, "crop", SPEC.mean, SPEC.std))
    squashed = image_to_uint8(encoded(wide, "PNG"), SPEC)
    assert cropped.mean() > 250
    assert squashed.mean() == pytest.approx(85, abs=5)


def preprocessor(overrides: list[str]) -> Preprocessor:
    folder = next(
        value for item in overrides if item.startswith("student.text.model") for value in [item.split("=")[1]]
    )
    text = (Path(folder) / "tokenizer.json").read_text(encoding="utf-8")
    return Preprocessor(PreprocessSpec(SPEC, TextSpec(max_tokens=16, pad_id=0)), text)


def test_token_ids_agree_with_transformers(overrides: list[str]) -> None:
    from transformers import AutoTokenizer

    ours = preprocessor(overrides)
    folder = next(item.split("=")[1] for item in overrides if item.startswith("student.text.model"))
    theirs = AutoTokenizer.from_pretrained(folder)
    texts = ["", "our team quietly", "doom " * 40, "Ünïcode 🔥 \u202eعربى"]
    expected = theirs(texts, truncation=True, max_length=16)["input_ids"]
    assert ours.ids(texts) == expected


@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_text_becomes_a_padded_batch(overrides: list[str], texts: list[str]) -> None:
    ours = preprocessor(overrides)
    ids = ours.ids(texts)
    input_ids, mask = pad(ids, 0)
    assert input_ids.shape == mask.shape == (len(texts), max(len(row) for row in ids))
    assert [list(row[keep == 1]) for row, keep in zip(input_ids, mask, strict=True)] == ids
    assert all(2 <= len(row) <= 16 for row in ids)


def test_a_lone_surrogate_is_tokenised_like_a_question_mark(overrides: list[str]) -> None:
    assert preprocessor(overrides).ids(["a\ud800b"]) == preprocessor(overrides).ids(["a?b"])


def test_a_specification_survives_json_and_refuses_strangers() -> None:
    spec = PreprocessSpec(SPEC, TextSpec(16, 0))
    assert PreprocessSpec.from_json(spec.to_json()) == spec
    tree = spec.to_json()
    del tree["image"]["mean"]
    with pytest.raises(RecipeError, match="'mean' is missing"):
        PreprocessSpec.from_json(tree)


def test_what_is_cut_of_texts_is_counted_as_the_tokenizer_without_a_limit_counts_it(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Bundle.open(chain.fp32)
    texts = ["word", "our team " * 40, "", "the train " * 9, "x" * 300]
    spec = PreprocessSpec(bundle.preprocess.image, TextSpec(max_tokens=8, pad_id=0))
    preprocessor = Preprocessor(spec, bundle.tokenizer_json)
    assert max(map(len, preprocessor.ids(texts))) == 8
    whole = Tokenizer.from_str(bundle.tokenizer_json)
    whole.no_truncation()
    lengths = [len(encoding.ids) for encoding in whole.encode_batch(texts, add_special_tokens=False)]
    read = 8 - whole.num_special_tokens_to_add(is_pair=False)
    long = [length for length in lengths if length > read]
    cut = preprocessor.cut
    assert (cut.texts, cut.cut, cut.tokens, cut.longest) == (5, len(long), sum(long), max(long))
    assert cut.lost == sum(long) - read * len(long)
    warn_of_cut_texts("test", preprocessor, texts)
    line = " ".join(capsys.readouterr().err.split())
    assert line == f"warning: test: {preprocessor.describe_cut()}"
    assert f"{len(long)} of 5 texts are cut at max_tokens=8: " in line
    warn_of_cut_texts("test", preprocessor, ["word"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("lowers", "texts", "more"),
    [
        (False, ["WHEN THE train IS LATE", "the train is late"], "100%"),
        (False, ["When the train is late", "", "the train"], None),
        (True, ["WHEN THE TRAIN IS LATE"], None),
    ],
)
def test_a_tokenizer_that_capitals_break_is_named(
    lowers: bool, texts: list[str], more: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """In lower case a word is a token; in capitals each of its letters is one: 18 for 9."""
    words = ["[UNK]", "[PAD]", "when", "the", "train", "is", "late", "When"]
    pieces = [piece for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for piece in (letter, f"##{letter}")]
    vocabulary = {token: number for number, token in enumerate(words + pieces)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if lowers:
        tokenizer.normalizer = Lowercase()
    spec = PreprocessSpec(SPEC, TextSpec(max_tokens=4, pad_id=1))
    warn_of_capitals("train", Preprocessor(spec, tokenizer.to_str()), texts, "student.text.lowercase")
    said = " ".join(capsys.readouterr().err.split())
    if more is None:
        assert said == ""
    else:
        assert said.startswith(f"warning: train: the tokenizer keeps capitals, and makes {more} more tokens of ")
        assert said.endswith("Train anew with --set student.text.lowercase=true")
