"""Missing texts are filled in, all else stays as it was, and nothing is read twice; a fake does the reading."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import published
import pytest
from chain import Chain
from click.testing import CliRunner, Result
from PIL import Image
from victim import Victim, anew, leftovers

from distill.cli.main import main
from distill.core.errors import ImageError
from distill.data.dataset import read_splits
from distill.preprocess.images import open_image

ROWS: list[dict[str, Any]] = [
    {"id": "1", "labels": ["b"], "text": "typed", "image": "1.png", "votes": [3, 1]},
    {"id": "2", "labels": ["a"], "text": " ", "image": "2.png", "votes": None},
    {"id": "3", "image": "3.png", "half": "\ud83d"},
    {"id": "4", "text": "alone", "image": None},
]

FILLED = ["typed", "read\n2", None, "alone"]

# The width of an image is the text on it; 3 is one without.
FAKE = """
import distill.runtime.ocr.reader
from pathlib import Path
from distill.preprocess.images import open_image

class Fake:
    name = "fake 1"

    def __init__(self, threads=0):
        pass

    def read(self, source):
        with open_image(source) as image:
            width = image.width
        with Path({tally!r}).open("a") as handle:
            handle.write(f"{{width}}\\n")
        return "" if width == 3 else f"read\\n{{width}}"

distill.runtime.ocr.reader.TextReader = Fake
from distill.cli.main import main
main({words!r})
"""


class Fake:
    """The same, in this process; `seen` are the images that it was given."""

    name = "fake 1"
    seen: list[str]

    def __init__(self, threads: int = 0) -> None:
        pass

    def read(self, source: Path) -> str:
        self.seen.append(source.name)
        with open_image(source) as image:
            return "" if image.width == 3 else f"read\n{image.width}"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    Fake.seen = []
    monkeypatch.setattr("distill.runtime.ocr.reader.TextReader", Fake)
    return Fake.seen


def memes(folder: Path, suffix: str = ".json") -> Path:
    """A dataset of ROWS twice, as train and dev, and labels.txt."""
    folder.mkdir()
    (folder / "labels.txt").write_text("a\nb\n")
    for split in ("train", "dev"):
        (folder / split).mkdir()
        rows = [row | {"id": f"{split}-{row['id']}"} for row in ROWS]
        for number in (1, 2, 3):
            Image.new("RGB", (number, 4), "red" if split == "dev" else "blue").save(
                folder / split / f"{number}.png"
            )
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}{suffix}").write_text(json.dumps(rows) if suffix == ".json" else lines)
    return folder


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_new_folder_holds_the_same_rows_with_their_texts(seen: list[str], tmp_path: Path, suffix: str) -> None:
    source, out = memes(tmp_path / "memes", suffix), tmp_path / "deep" / "filled"
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    result = distill("data", "ocr", source, "--out", out)
    assert result.exit_code == 0, result.output
    assert "8 rows, 4 without a text before and 2 now" in result.stderr.replace("\n", " ")
    assert sorted(seen) == ["2.png", "2.png", "3.png", "3.png"]
    text = (out / f"dev{suffix}").read_text()
    rows = json.loads(text) if suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    wanted = [
        ROWS[0] | {"id": "dev-1", "image": "../../memes/dev/1.png"},
        ROWS[1] | {"id": "dev-2", "image": "../../memes/dev/2.png", "text": "read\n2", "text_from": "ocr"},
        ROWS[2] | {"id": "dev-3", "image": "../../memes/dev/3.png"},
        ROWS[3] | {"id": "dev-4"},
    ]
    assert rows == wanted
    assert [list(row) for row in rows] == [list(row) for row in wanted]
    old, new = read_splits(source), read_splits(out)
    assert [e.image and e.image.resolve() for e in new.train] == [e.image and e.image.resolve() for e in old.train]
    assert new.labels == old.labels
    assert {path: path.read_bytes() for path in before} == before
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("command", [("data", "ocr"), ("split",)])
def test_images_are_found_from_a_folder_behind_a_link(
    seen: list[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "empty" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    (tmp_path / "memes").symlink_to(memes(tmp_path / "far" / "memes"))
    (tmp_path / "there").symlink_to(tmp_path / "empty" / "folder")
    for out in (tmp_path / "link" / "filled", tmp_path / "there"):
        result = distill(*command, tmp_path / "memes" / "train.json", "--out", out)
        assert result.exit_code == 0, result.output
        files = [out / name for name in ("train.json", "dev.json", "test.json") if (out / name).exists()]
        named = [row["image"] for path in files for row in json.loads(path.read_text()) if row["image"]]
        assert [(out / name).resolve() for name in sorted(named)] == [
            tmp_path / "far" / "memes" / "train" / f"{number}.png" for number in (1, 2, 3)
        ]
    assert (tmp_path / "there").is_symlink()


def test_a_link_to_a_file_stays_one_and_the_file_is_filled(seen: list[str], tmp_path: Path) -> None:
    source, link = memes(tmp_path / "memes"), tmp_path / "memes" / "link.json"
    (source / "link").symlink_to(source / "dev")
    link.symlink_to(source / "dev.json")
    assert distill("data", "ocr", link, "--in-place").exit_code == 0
    assert link.is_symlink()
    assert [row.get("text") for row in json.loads((source / "dev.json").read_text())] == FILLED
    assert leftovers(tmp_path) == []


def test_the_folder_that_one_stands_in_is_filled(
    seen: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(memes(tmp_path / "memes"))
    assert distill("data", "ocr", ".", "--in-place").exit_code == 0
    assert [row.get("text") for row in json.loads(Path("dev.json").read_text())] == FILLED
    assert [path.name for path in tmp_path.iterdir()] == ["memes"]


def test_csv_keeps_its_columns_and_gains_one(seen: list[str], tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "5.png")
    path = tmp_path / "posts.csv"
    path.write_text('id,when,text,image,labels\n1,"1, 2","say ""x""",,a|b\n2,,,5.png,\n', encoding="utf-8-sig")
    assert distill("data", "ocr", path, "--in-place").exit_code == 0
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    filled = {"text": "read\n5", "image": "5.png", "labels": "", "text_from": "ocr"}
    assert rows == [
        {"id": "1", "when": "1, 2", "text": 'say "x"', "image": "", "labels": "a|b", "text_from": ""},
        {"id": "2", "when": "", **filled},
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["5.png", "posts.csv"]


def test_all_images_are_read_beside_their_texts(seen: list[str], tmp_path: Path) -> None:
    source = memes(tmp_path / "memes")
    assert distill("data", "ocr", source, "--in-place", "--all").exit_code == 0
    rows = json.loads((source / "train.json").read_text())
    assert [(row.get("text"), row.get("ocr_text"), row.get("text_from")) for row in rows] == [
        ("typed", "read\n1", None),
        ("read\n2", "read\n2", "ocr"),
        (None, "", None),
        ("alone", None, None),
    ]
    assert [row["image"] for row in rows] == ["1.png", "2.png", "3.png", None]


def test_a_broken_image_leaves_its_row_and_the_others_are_filled(seen: list[str], tmp_path: Path) -> None:
    source = memes(tmp_path / "memes")
    (source / "dev" / "3.png").write_bytes(b"none")
    result = distill("data", "ocr", source, "--in-place")
    assert result.exit_code == 1
    assert "'dev-3': " in result.stderr
    assert "1 image(s) could not be read; their rows are as they were" in result.stderr
    rows = json.loads((source / "dev.json").read_text())
    assert rows[2] == ROWS[2] | {"id": "dev-3"}
    assert rows[1]["text"] == "read\n2"


def test_what_stands_in_the_way_and_what_is_no_data_is_refused(seen: list[str], tmp_path: Path) -> None:
    source = memes(tmp_path / "memes")
    for words, message in (
        ((source, "--out", source), "which is read; choose another folder"),
        ((source / "train", "--in-place"), "holds no train, dev or test file"),
        ((tmp_path / "none.json", "--in-place"), "no such file"),
    ):
        result = distill("data", "ocr", *words)
        assert result.exit_code == 2
        assert message in result.stderr
    for words in ((source,), (source, "--in-place", "--out", tmp_path / "x")):
        result = distill("data", "ocr", *words)
        assert result.exit_code == 2
        assert "give --out FOLDER, or --in-place" in result.stderr
    assert seen == []


def test_killed_anywhere_the_same_command_reads_the_rest(victim: Victim, tmp_path: Path) -> None:
    room, tally, out = tmp_path / "room", tmp_path / "tally", tmp_path / "room" / "filled"
    words = ["data", "ocr", str(room / "memes" / "dev.json"), "--out", str(out)]
    source = FAKE.format(tally=str(tally), words=words)
    room.mkdir()

    for point in range(0, 100, 9):
        anew(room)
        memes(room / "memes")
        tally.unlink(missing_ok=True)
        killed = victim.run(source, room, kill_at=point).killed
        assert out.exists() or victim.run(source, room).code == 0
        assert [row.get("text") for row in json.loads((out / "dev.json").read_text())] == FILLED
        assert len(tally.read_text().split()) <= 3  # two images; one may be read and not be on the disk yet
        if not killed:
            break
    assert point >= 12
    assert leftovers(room) == []


def test_a_torn_line_and_another_readers_lines_are_not_taken(seen: list[str], tmp_path: Path) -> None:
    source, part = memes(tmp_path / "memes"), tmp_path / "memes.ocr.part"
    part.write_text('{"image": "0", "text": "x", "reader": "another"}\n{"image": "0", "te')
    assert distill("data", "ocr", source, "--in-place").exit_code == 0
    assert len(seen) == 4
    assert not part.exists()


def test_predict_reads_only_what_has_no_text(chain: Chain, seen: list[str], tmp_path: Path) -> None:
    source, out, plain = memes(tmp_path / "memes", ".jsonl") / "dev.jsonl", tmp_path / "out", tmp_path / "plain"
    (source.parent / "more").write_text("")
    with source.open("a") as handle:
        handle.write('{"id": "5", "image": "none.png"}\n')
    assert distill("predict", chain.int8, source, "--ocr", "--out", out, "--threads", 1).exit_code == 1
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [answer.pop("ocr_text", None) for answer in answers] == [None, "read\n2", "", None, None]
    assert "no such image" in answers[4]["error"]
    assert seen == ["2.png", "3.png", "none.png"]
    written = [row | {"id": f"dev-{row['id']}"} for row in ROWS]
    written[1]["text"] = "read\n2"
    source.write_text("".join(json.dumps(row) + "\n" for row in written) + '{"id": "5", "image": "none.png"}\n')
    distill("predict", chain.int8, source, "--out", plain, "--threads", 1)
    assert [json.loads(line) for line in plain.read_text().splitlines()] == answers
    assert leftovers(tmp_path) == []


def test_predict_finds_again_what_a_killed_run_has_read(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    source, tally = memes(tmp_path / "memes"), tmp_path / "tally"
    words = ["predict", str(chain.int8), str(source / "dev.json"), "--ocr", "--out", str(tmp_path / "out")]
    run = FAKE.format(tally=str(tally), words=words)
    assert victim.run(run, tmp_path, kill_at="rename out.part").killed
    assert tally.read_text().split() == ["2", "3"]
    tally.unlink()
    end = victim.run(run.replace("'--ocr'", "'--ocr', '--resume'"), tmp_path)
    assert end.code == 0, end.output
    assert not tally.exists()
    assert json.loads((tmp_path / "out").read_text().splitlines()[1])["ocr_text"] == "read\n2"
    assert leftovers(tmp_path) == []


def test_answers_that_rest_on_another_reader_are_not_gone_on_with(
    chain: Chain, victim: Victim, tmp_path: Path
) -> None:
    source, out = memes(tmp_path / "memes"), tmp_path / "out"
    rows = [{"id": str(n), "text": "x"} for n in range(300)]
    (source / "dev.json").write_text(json.dumps(rows))
    words = ["predict", str(chain.int8), str(source / "dev.json"), "--out", str(out)]
    run = FAKE.format(tally=str(tmp_path / "tally"), words=[*words, "--ocr"])
    assert victim.run(run, tmp_path, kill_at="rename out.part").killed
    result = distill(*words, "--resume")
    assert result.exit_code == 2
    assert "was begun with another text reader" in result.stderr


def test_a_reader_that_fails_costs_no_answer(
    chain: Chain, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Fake, source: Path) -> str:
        raise ImageError("its text cannot be read")

    monkeypatch.setattr(Fake, "read", fail)
    image = chain.splits.dev[0].image
    asked = ["predict", chain.int8, "--image", image, "--threads", 1]
    assert distill(*asked, "--ocr").stdout == distill(*asked).stdout


@pytest.mark.parametrize(
    "form",
    [form for form in published.FORMS if form.name not in ("Parquet shards", "class folders")],
    ids=lambda f: f.name,
)
def test_published_forms_are_filled_as_json_lines_that_are_read_alike(
    seen: list[str], tmp_path: Path, form: published.Form
) -> None:
    data = form.write(tmp_path / "data")
    before = read_splits(data)
    assert distill("data", "ocr", data, "--out", tmp_path / "out").exit_code == 0
    out = tmp_path / "out"
    (source,) = [out] if data.is_dir() else out.iterdir()
    after = read_splits(source)
    assert after.labels == before.labels
    for name in ("train", "dev", "test"):
        old = {example.id: example for example in getattr(before, name)}
        assert len(getattr(after, name)) == len(old)
        if any(example.labels is not None for example in old.values()) and "dev" in form.splits:
            for example in getattr(after, name):
                assert set(example.labels or ()) == set(old[example.id].labels or ())
                assert example.text == (old[example.id].text or "read\n12")
                assert isinstance(example.image, Path)
                assert example.image.resolve() == old[example.id].image.resolve()


def test_a_published_form_is_not_written_in_its_place(seen: list[str], tmp_path: Path) -> None:
    data = published.hateful_memes(tmp_path / "data")
    result = distill("data", "ocr", data, "--in-place")
    assert result.exit_code == 2
    assert "read as Hateful Memes (JSON Lines), into which texts are not filled; give --out FOLDER" in result.stderr


def test_one_file_of_several_splits_keeps_all_its_rows_in_place(seen: list[str], tmp_path: Path) -> None:
    data = published.imagefolder_one_file(tmp_path / "data")
    rows = (data / "metadata.csv").read_text().splitlines()
    assert distill("data", "ocr", data, "--in-place").exit_code == 0
    assert len((data / "metadata.csv").read_text().splitlines()) == len(rows)
