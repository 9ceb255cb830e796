"""Whatever a folder or a file of rows may hold: read, or refused in one line; nothing hangs and nothing is lost."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from chain import Chain
from click.testing import CliRunner, Result
from hostile_images import (
    GOOD,
    IMAGES,
    HostileImage,
    avif_of_lies,
    gif_frame,
    gif_header,
    jpeg_scans,
    plain_tiff,
    red,
    saved,
    with_xmp,
)
from hostile_rows import HEAD, READ, REFUSED, TEXTS, Rows
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distill.cli.main import main
from distill.core.errors import DataError, DistillError, ImageError
from distill.core.output.terminal import output
from distill.data.checks import check_splits
from distill.data.dataset import Example, examples_to_json, read_examples, read_splits
from distill.data.labels import LabelSet
from distill.data.sources import IMAGE_SUFFIXES, FailedRow, Source
from distill.preprocess import flatten
from distill.preprocess.images import ImageSpec, image_to_uint8, open_image
from distill.preprocess.inputs import Preprocessor
from distill.runtime.bundle import Bundle
from distill.scoring.metrics import Quality
from distill.scoring.tables import label_table
from distill.scoring.thresholds import cross_fitted, fit_thresholds

SPEC = ImageSpec(size=24, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
QUICK_S = 5  # of any single file here; each takes some ten milliseconds


def named(case: Any) -> str:
    return str(case.name)


@pytest.mark.parametrize("fit_", ["squash", "crop"])
@pytest.mark.parametrize("case", IMAGES, ids=named)
def test_an_image_is_read_or_refused_in_one_line(case: HostileImage, fit_: Any, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    begun = time.perf_counter()
    if case.good:
        pixels = image_to_uint8(path, replace(SPEC, fit=fit_))
        assert (pixels.shape, pixels.dtype) == ((24, 24, 3), np.uint8)
    else:
        with pytest.raises(ImageError) as caught:
            image_to_uint8(path, replace(SPEC, fit=fit_))
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
    assert time.perf_counter() - begun < QUICK_S


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (avif_of_lies((600, 400)), "frames of up to 600 x 400 pixels, over the limit of 100,000"),
        (plain_tiff(tile_width=(4, 1, 400), tile_height=(4, 1, 400)), "8 x 8 pixels in pieces of 400 x 400, over"),
        (saved(red(size=(600, 400)), "WEBP"), "600 x 400 pixels, over"),
        (saved(red(size=(600, 400)), "GIF"), "600 x 400 pixels, over"),
        (gif_header(1, 1) + gif_frame(600, 400), "600 x 400 pixels, over"),
        (jpeg_scans(42, (60, 40)), "more than 50 scans, the limit for a JPEG"),
    ],
)
def test_a_limit_of_pixels_holds_for_what_is_decoded_and_not_for_what_a_header_says(
    content: bytes, said: str
) -> None:
    with pytest.raises(ImageError, match=said):
        open_image(content, max_pixels=100_000)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><p>404", "it is an HTML page"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(20), "it is a video"),
        (b"II is how this text begins", "it begins with 49 49 20 69"),
    ],
)
def test_a_file_in_another_format_is_named_by_what_it_is(content: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=f"not an image in a supported format .*; {said}"):
        open_image(content)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("how", ["png", "jpeg", "webp", "tiff", "xmp"])
def test_an_image_is_upright_however_it_says_how_it_lies(orientation: int, how: str) -> None:
    upright = np.zeros((24, 24, 3), dtype=np.uint8)
    upright[:12, :12], upright[:12, 12:], upright[12:, :12] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    lies = {  # how the stored rows and columns follow from the upright ones: EXIF 2.32, table 6
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    image, exif = Image.fromarray(np.ascontiguousarray(lies)), Image.Exif()
    exif[0x0112] = orientation
    if how == "xmp":
        content = with_xmp(str(orientation), image)
    else:
        exact = {"lossless": True} if how == "webp" else {"quality": 95} if how == "jpeg" else {}
        content = saved(image, how.upper(), exif=exif, **exact)
    difference = np.abs(image_to_uint8(content, SPEC).astype(int) - upright)
    assert np.median(difference) < 8  # JPEG's colours run at the edges


def test_large_images_in_bands_have_the_pixels_of_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {name: image_to_uint8(content, SPEC) for name, content in GOOD.items()}
    monkeypatch.setattr(flatten, "BAND_PIXELS", 100)
    for name, content in GOOD.items():
        assert (image_to_uint8(content, SPEC) == whole[name]).all(), name


def test_no_image_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for case in IMAGES:
        if "eps" in case.name:
            with pytest.raises(ImageError, match="not an image in a supported format"):
                image_to_uint8(case.content, SPEC)
    assert not (tmp_path / "started").exists()


def put_odd_files(folder: Path) -> set[str]:
    """Things that are named like images and are none; their names."""
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "fifo.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("nothing")
    (folder / "device.jpg").symlink_to("/dev/zero")
    return {f"{name}.jpg" for name in ("folder", "fifo", "loop", "dangling", "device")}


@pytest.mark.timeout(30)
def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    for name in [*put_odd_files(tmp_path), "absent.jpg", "a" * 5000, "nul\x00.jpg", "\ud800.jpg"]:
        with pytest.raises(ImageError):
            image_to_uint8(tmp_path / name, SPEC)


@contextmanager
def nobodys_rights() -> Iterator[None]:
    """Root may read everything, so it has to become somebody else for a while."""
    owner = os.geteuid()
    if owner == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(owner)


def what_is_said(folder: Path) -> list[str]:
    said = []
    for read in (
        lambda: image_to_uint8(read_examples(folder / "rows.json")[0].image or Path(), SPEC),
        lambda: list(Source.open(folder / "closed").items()),
    ):
        try:
            read()
        except DistillError as error:
            said.append(str(error))
    return said + [item.error for item in Source.open(folder).items() if isinstance(item, FailedRow)]


def test_what_may_not_be_read_is_said_and_no_traceback() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "closed").mkdir()
        for path in (folder / "closed/a.jpg", folder / "b.jpg"):
            Image.new("RGB", (4, 4)).save(path)
        (folder / "b.txt").write_text("x")
        (folder / "rows.json").write_text('[{"id": "1", "image": "closed/a.jpg"}]')
        assert what_is_said(folder) == []  # and everything is imported that nobody may not import
        for path, mode in ((folder, 0o755), (folder / "closed", 0), (folder / "b.txt", 0)):
            path.chmod(mode)
        with nobodys_rights():
            said = what_is_said(folder)
        (folder / "closed").chmod(0o755)
    assert ["Permission denied" in line for line in said] == [True] * 3, said


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:12]))
def test_an_odd_text_becomes_ids_within_the_vocabulary(bundle: Bundle, text: str) -> None:
    check_ids(Preprocessor(bundle.preprocess, bundle.tokenizer_json), text)


def check_ids(preprocessor: Preprocessor, text: str) -> None:
    (ids,) = preprocessor.ids([text])
    assert 0 < len(ids) <= preprocessor.spec.text.max_tokens
    assert 0 <= min(ids) <= max(ids) < preprocessor.tokenizer.get_vocab_size()
    assert preprocessor.batch(preprocessor.rows([text], [None])).input_ids.tolist() == [ids]


def test_any_text_at_all_becomes_ids_within_the_vocabulary(bundle: Bundle) -> None:
    preprocessor = Preprocessor(bundle.preprocess, bundle.tokenizer_json)
    anything = st.text(st.characters(exclude_categories=[]), max_size=60)  # half surrogate pairs too

    @given(anything, st.integers(1, 50))
    @settings(max_examples=150, deadline=None)
    def holds(text: str, times: int) -> None:
        check_ids(preprocessor, text * times)

    holds()


@pytest.mark.parametrize("case", READ, ids=named)
def test_an_odd_file_of_rows_is_read(case: Rows, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    (example,) = read_examples(path)
    assert example.id
    for write in (example.text, example.id, "".join(example.labels or ())):
        write.encode("utf-8")  # whatever is read can be written again
    assert read_examples(write_again(path, example))[0].text == example.text


def write_again(path: Path, example: Example) -> Path:
    again = path.with_name("again.json")
    again.write_text(examples_to_json([replace(example, image=None)], path.parent), encoding="utf-8")
    return again


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_a_bad_file_of_rows_is_refused_in_one_short_line(case: Rows, tmp_path: Path) -> None:
    path = tmp_path / case.name
    path.write_bytes(case.content)
    begun = time.perf_counter()
    with pytest.raises(DataError) as caught:
        read_examples(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert case.reason in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400
    assert time.perf_counter() - begun < QUICK_S


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "text", "image", "labels", "x"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=4), st.sampled_from([".json", ".jsonl", ".csv"]))
@settings(max_examples=300, deadline=None)
def test_any_json_is_rows_or_our_own_error(rows: list[Any], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        lines = b"\n".join(json.dumps(row).encode() for row in rows)
        path.write_bytes({".json": json.dumps(rows).encode(), ".jsonl": lines}.get(suffix, HEAD + lines))
        try:
            assert read_examples(path)
        except DataError as error:
            message = str(error)
            assert message.startswith(str(path))
        try:
            for item in Source.open(path).items():
                assert isinstance(item, Example | FailedRow)
                item.id.encode("utf-8")
        except DataError as error:  # every line of JSON Lines stands for itself, but for the columns of all
            message = str(error)
            assert suffix != ".jsonl" or "column" in message


def predict(bundle: Path, source: Path, out: Path) -> tuple[Result, list[dict[str, Any]]]:
    result = CliRunner().invoke(main, ["predict", str(bundle), str(source), "--out", str(out)])
    return result, [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


@pytest.mark.timeout(60)
def test_a_folder_of_everything_gives_one_line_each_and_loses_no_good_one(chain: Chain, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    good, bad = set(), put_odd_files(folder)
    for case in IMAGES:
        if Path(case.name).suffix.lower() in IMAGE_SUFFIXES:
            (folder / case.name).write_bytes(case.content)
            (good if case.good else bad).add(case.name)
    for name, text in {"text-not-utf-8": b"\xff", "text-a-folder": None, "text-endless": b"a" * 4_000_001}.items():
        (folder / f"{name}.jpg").write_bytes(GOOD["plain.jpg"])
        (folder / f"{name}.txt").mkdir() if text is None else (folder / f"{name}.txt").write_bytes(text)
        bad.add(f"{name}.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(GOOD["plain.jpg"])
    good.add("?.jpg")
    result, answers = predict(chain.int8, folder, tmp_path / "out.jsonl")
    assert result.exit_code == 1, result.output
    assert f"{len(bad)} row(s) could not be read" in result.stderr
    assert len(answers) == len(good) + len(bad) == Source.open(folder).count()
    assert {answer["id"] for answer in answers if "error" in answer} == bad
    assert {answer["id"] for answer in answers if "labels" in answer} == good


@pytest.mark.timeout(60)
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_a_file_of_good_and_bad_rows_loses_no_good_one(chain: Chain, tmp_path: Path, suffix: str) -> None:
    odd = put_odd_files(tmp_path)
    for case in IMAGES:
        (tmp_path / case.name).write_bytes(case.content)
    good = {f"good-{case.name}": {"image": case.name} for case in IMAGES if case.good}
    good |= {f"text-{i}": {"image": "plain.jpg", "text": printable(t)} for i, t in enumerate(TEXTS)}
    bad = {f"bad-{case.name}": {"image": case.name} for case in IMAGES if not case.good}
    bad |= {f"bad-{name}": {"image": name} for name in [*odd, "absent.jpg", "a" * 5000, "../absent.jpg"]}
    rows = [{"id": name, "text": "", **row} for both in zip_longest(good, bad) for name, row in both]
    path, unnamed = tmp_path / f"rows{suffix}", 0
    if suffix == ".csv":
        lines = [",".join(f'"{row[key]}"' for key in ("id", "text", "image")) for row in rows if row["text"] == ""]
        good = {name: row for name, row in good.items() if "text" not in row or row["text"] == ""}
        path.write_text("id,text,image\n" + "\n".join([*lines, "too,few", "a,b,c,d"]) + "\n")
        unnamed = 2
    elif suffix == ".json":
        path.write_text(json.dumps([*rows, 3, {"text": "no id"}, {"id": [1], "text": "x"}]))
        unnamed = 3
    else:
        worst = [case.content for case in REFUSED if case.name.endswith(".jsonl") and case.content]
        path.write_bytes(b"\n".join([json.dumps(row).encode() for row in rows] + worst))
        unnamed = len(worst)
    result, answers = predict(chain.int8, path, tmp_path / "out.jsonl")
    assert result.exit_code == 1, result.output
    assert {answer["id"] for answer in answers if "labels" in answer} == set(good)
    assert {answer["id"] for answer in answers if "error" in answer} >= set(bad)
    assert len(answers) == len(good) + len(bad) + unnamed


def zip_longest(good: dict[str, Any], bad: dict[str, Any]) -> Iterator[list[tuple[str, Any]]]:
    """Good and bad rows in turn, so that they share batches."""
    left, right = list(good.items()), list(bad.items())
    for place in range(max(len(left), len(right))):
        yield [*left[place : place + 1], *right[place : place + 1]]


def printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\x00", "\ud800", "a\nb", " a", ""])
def test_a_label_that_no_file_or_terminal_should_hold_is_refused(name: str) -> None:
    with pytest.raises(DataError):
        LabelSet(("b", name))


def test_labels_are_read_past_a_byte_order_mark_and_fast(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufefffear\n👨‍👩‍👧\n".encode())
    assert LabelSet.read(path).names == ("fear", "👨‍👩‍👧")
    begun = time.perf_counter()
    assert len(LabelSet.parse("\n".join(map(str, range(100_000))))) == 100_000
    assert time.perf_counter() - begun < QUICK_S


def test_a_label_that_reads_like_markup_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    figures = dict.fromkeys(("support", "predicted"), 1) | dict.fromkeys(("precision", "recall", "f1"), 0.5)
    label = SimpleNamespace(name="[/red] [bold]", average_precision=None, threshold=0.5, **figures)
    output.print(label_table(cast(Quality, SimpleNamespace(labels=[label]))))
    assert "[/red] [bold]" in capsys.readouterr().out


def test_a_label_without_positives_has_a_threshold_and_divides_nothing_by_zero() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.random((40, 3)).astype(np.float32)
    targets = (generator.random((40, 3)) < 0.3).astype(np.float32)
    targets[:, 1] = 0
    for y in (targets, np.eye(3, dtype=np.float32)[np.zeros(40, dtype=int)] * (np.arange(40) < 2)[:, None]):
        values = fit_thresholds(probabilities, y.astype(np.float32), "balanced", "dev").array()
        assert ((values > 0) & (values < 1)).all()
        assert cross_fitted(probabilities, y.astype(np.float32), "balanced").shape == y.shape


@pytest.mark.parametrize("labelled", [0, 1])
def test_a_dev_split_that_no_threshold_can_be_fitted_on_is_found_before_training(data: Path, labelled: int) -> None:
    splits = read_splits(data)
    dev = [replace(example, labels=example.labels * (place < labelled)) for place, example in enumerate(splits.dev)]
    with pytest.raises(DataError, match=f"dev: {labelled} of 32 rows have a label, and thresholds need 2"):
        check_splits(replace(splits, dev=dev))


def test_an_image_that_a_run_would_stumble_over_is_found_before_it(data: Path, tmp_path: Path) -> None:
    splits = read_splits(data)
    for case in IMAGES:
        if case.good:
            continue
        path = tmp_path / case.name
        path.write_bytes(case.content)
        with pytest.raises(DistillError, match="image missing or unreadable"):
            check_splits(replace(splits, train=[replace(splits.train[0], image=path), *splits.train[1:3]]))
