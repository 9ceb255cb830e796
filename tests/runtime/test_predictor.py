"""Many answers: in order, resumed with the same bytes wherever they broke off, never lost without a word."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from chain import Chain
from click.testing import CliRunner, Result
from second_process import second_process, writing
from victim import Victim

from distill.cli.main import main
from distill.core.errors import OutputError
from distill.core.storage.files import refuse_non_file
from distill.core.storage.lock import lock_beside, take
from distill.data.dataset import Example
from distill.data.generated import LABELS
from distill.data.sources import Source
from distill.runtime.bundle import Bundle
from distill.runtime.partial_file import PartialFile, run_identity
from distill.runtime.pipeline import CHUNK_SIZE
from distill.runtime.predictor import Predictor

ROWS = 2 * CHUNK_SIZE + 130
TORN_ANSWERS = (0, 700, 60_000, 100_000)  # bytes; a chunk takes about 45,000


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def rows_of(chain: Chain, count: int) -> list[str]:
    """JSON lines whose images and lengths of text vary; every 97th row cannot be read."""
    examples = [*chain.splits.train, *chain.splits.dev]
    lines = []
    for number in range(count):
        example = examples[number * 7 % len(examples)]
        image = None if number % 3 == 0 else str(example.image)
        text = " ".join([example.text] * (1 + number % 3))
        lines.append(json.dumps({"id": f"row-{number}", "text": text, "image": image}))
        if number % 97 == 96:
            lines[-1] = lines[-1][:20]
    return lines


@pytest.fixture(scope="module")
def posts(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("posts") / "posts.jsonl"
    path.write_text("\n".join(rows_of(chain, ROWS)) + "\n")
    return path


@pytest.fixture(scope="module")
def unbroken(chain: Chain, posts: Path) -> bytes:
    out = posts.with_name("unbroken.jsonl")
    result = distill("predict", chain.int8, posts, "--out", out, "--threads", 1)
    assert result.exit_code == 1
    assert sorted(path.name for path in out.parent.iterdir()) == ["posts.jsonl", "unbroken.jsonl"]
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(answers) == ROWS
    assert [a["id"] for a in answers if "labels" in a] == [f"row-{n}" for n in range(ROWS) if n % 97 != 96]
    return out.read_bytes()


def test_killed_before_any_of_its_file_operations_it_ends_with_the_same_bytes(
    chain: Chain, victim: Victim, posts: Path, unbroken: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "predictions.jsonl"
    words = ("predict", chain.int8, posts, "--out", out, "--threads", 1)
    for point in range(100):
        end = victim.distill(*words, root=tmp_path, kill_at=point)
        if not end.killed:
            break
        assert not out.exists() or out.read_bytes() == unbroken
        finished = out.exists() and not out.with_name("predictions.jsonl.part.json").exists()
        resumed = victim.distill(*words, "--resume", root=tmp_path)
        assert resumed.code == (2 if finished else 1), resumed.output
        assert out.read_bytes() == unbroken
        assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]
        out.unlink()
    assert point >= 9
    assert "row(s) could not be read" in end.output


@pytest.mark.parametrize("cut", TORN_ANSWERS)
def test_killed_in_the_middle_of_a_line_it_ends_with_the_same_bytes(
    chain: Chain, victim: Victim, posts: Path, unbroken: bytes, tmp_path: Path, cut: int
) -> None:
    out = tmp_path / "predictions.jsonl"
    words = ("predict", chain.int8, posts, "--out", out, "--threads", 1)
    assert victim.distill(*words, root=tmp_path, file_bytes=cut, deadly=True).killed
    assert not out.exists()
    resumed = victim.distill(*words, "--resume", root=tmp_path)
    assert f"{len([line for line in unbroken.splitlines() if b'error' in line])} row(s)" in resumed.output
    assert out.read_bytes() == unbroken
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]


@pytest.fixture
def broken(chain: Chain, victim: Victim, posts: Path, tmp_path: Path) -> Path:
    """OUT of a run that was killed after its first chunk."""
    out = tmp_path / "predictions.jsonl"
    words = ("predict", chain.int8, posts, "--out", out, "--threads", 1)
    victim.distill(*words, root=tmp_path, file_bytes=60_000, deadly=True)
    assert PartialFile(out, {}).progress().lines == CHUNK_SIZE
    return out


def one_line(result: Result) -> str:
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_answers_are_never_lost_silently(chain: Chain, posts: Path, broken: Path) -> None:
    part = broken.with_name("predictions.jsonl.part")
    before = part.read_bytes()
    refused = one_line(distill("predict", chain.int8, posts, "--out", broken))
    assert "holds 256 predictions of an interrupted run; go on with --resume, or pass --overwrite" in refused
    assert part.read_bytes() == before


def test_answers_to_something_else_are_not_gone_on_with(chain: Chain, posts: Path, broken: Path) -> None:
    other = posts.with_name("other.jsonl")
    other.write_text(posts.read_text().replace("row-3", "row-4"))
    assert "was begun with another source" in one_line(
        distill("predict", chain.int8, other, "--out", broken, "--resume")
    )
    assert "was begun with another Bundle" in one_line(
        distill("predict", chain.fp32, posts, "--out", broken, "--resume")
    )
    broken.with_name("predictions.jsonl.part.json").unlink()
    assert "says what it is for" in one_line(distill("predict", chain.int8, posts, "--out", broken, "--resume"))


def test_what_cannot_be_resumed_says_so(chain: Chain, posts: Path, tmp_path: Path) -> None:
    out = tmp_path / "done.jsonl"
    out.write_text("")
    assert "nothing to resume; leave --resume out" in one_line(
        distill("predict", chain.int8, posts, "--out", out, "--resume")
    )
    for words in (("--image", "a.jpg", "--out", out), (posts,)):
        result = distill("predict", chain.int8, *words, "--resume")
        assert result.exit_code == 2
        assert "give both" in result.output


def test_a_run_that_fails_before_it_answered_leaves_nothing(chain: Chain, tmp_path: Path) -> None:
    result = distill("predict", chain.int8, tmp_path / "nowhere.jsonl", "--out", tmp_path / "out.jsonl")
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [".", "folder"])
def test_a_folder_as_out_is_refused_before_anything_is_answered(
    chain: Chain, posts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Predictor, "stream", None)  # it would fail
    for asked in ([posts], ["--text", "hi"]):
        refused = one_line(distill("predict", chain.int8, *asked, "--out", name))
        assert f"{name}: is a folder; give the name of a file" in refused
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_what_a_file_would_replace_is_refused_and_stays(chain: Chain, posts: Path, tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link.png"
    os.mkfifo(pipe)
    os.mkfifo(tmp_path / "pipe.json")
    link.symlink_to(pipe)
    asked = (("predict", [posts]), ("predict", ["--text", "hi"]), ("explain", ["--text", "hi"]))
    for command, words in asked:
        target = ["--out", pipe.with_suffix(".png") if command == "explain" else pipe]
        name = "pipe.json" if command == "explain" else "pipe"
        assert f"{name}: is a device or a pipe" in one_line(distill(command, chain.int8, *words, *target))
    assert "link.png: is a device or a pipe" in one_line(
        distill("explain", chain.int8, "--text", "hi", "--out", link)
    )
    with pytest.raises(OutputError, match="is a device or a pipe"):
        refuse_non_file(Path("/dev/no-device-of-this-name"))
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_gained_an_image_is_another_source(chain: Chain, victim: Victim, tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "predictions.jsonl"
    folder.mkdir()
    for number in range(CHUNK_SIZE + 1):
        shutil.copyfile(chain.splits.train[number % 64].image or "", folder / f"{number:04d}.jpg")
    words = ("predict", chain.int8, folder, "--out", out, "--threads", 1)
    victim.distill(*words, root=tmp_path, kill_at="rename predictions.jsonl.part")
    shutil.copyfile(chain.splits.train[0].image or "", folder / "0000-more.jpg")
    assert "another source" in one_line(distill(*words, "--resume"))
    (folder / "0000-more.jpg").unlink()
    assert distill(*words, "--resume").exit_code == 0
    assert len(out.read_bytes().splitlines()) == CHUNK_SIZE + 1


def test_answers_may_grow_in_the_folder_that_they_answer(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "a.jpg").write_bytes(b"one")
    (tmp_path / "a.txt").write_text("on it")
    begun = run_identity(Source.open(tmp_path), bundle, None)
    for name in ("predictions.jsonl.part", "predictions.jsonl.part.json", "predictions.jsonl", "notes.txt"):
        (tmp_path / name).write_text("grows")
        assert run_identity(Source.open(tmp_path), bundle, None) == begun
    (tmp_path / "a.txt").write_text("something else")
    assert run_identity(Source.open(tmp_path), bundle, None) != begun


def test_two_runs_do_not_write_one_file(
    chain: Chain, posts: Path, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From before one of them looks how far OUT.part goes until it has given the file its name."""
    words = ("predict", chain.int8, posts, "--out", broken, "--resume")
    with second_process(writing(broken, inside=False)) as second:
        assert f"process {second.pid} on {platform.node()} is writing it" in one_line(distill(*words))
    assert PartialFile(broken, {}).progress().lines == CHUNK_SIZE
    renamed: list[bool] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target == broken:
            renamed.append(take(lock_beside(broken)) is None)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    assert distill(*words).exit_code == 1  # some rows cannot be read
    assert renamed == [True]
    assert sorted(path.name for path in broken.parent.iterdir()) == [broken.name]


def test_interrupted_it_says_how_to_go_on(chain: Chain, posts: Path, unbroken: bytes, tmp_path: Path) -> None:
    """Ctrl-C on a real process, as soon as a chunk is on the disk."""
    out = tmp_path / "predictions.jsonl"
    long = tmp_path / "long.jsonl"
    long.write_text(posts.read_text() * 20)
    # Tests that run in the background are started deaf to it, and so would be the process.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    words = ["predict", str(chain.int8), str(long), "--out", str(out)]
    command = [sys.executable, "-c", f"{listening}from distill.cli.main import run; run()", *words]
    process = subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.PIPE, text=True, env=os.environ)
    while process.poll() is None and PartialFile(out, {}).progress().lines < CHUNK_SIZE:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert f"predictions are in {out}.part; the same command with --resume goes on there" in said
    held = [json.loads(line) for line in out.with_name("predictions.jsonl.part").read_bytes().splitlines()]
    assert [a["id"] for a in held[:CHUNK_SIZE]] == [
        json.loads(line)["id"] for line in unbroken.splitlines()[:CHUNK_SIZE]
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_file_whose_name_is_no_utf8_gets_its_answer(chain: Chain, tmp_path: Path) -> None:
    folder, out = tmp_path / "images", tmp_path / "out.jsonl"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.jpg")
    shutil.copyfile(chain.splits.train[0].image or "", folder / name)
    assert distill("predict", chain.int8, folder, "--out", out).exit_code == 0
    assert json.loads(out.read_text())["id"] == "caf?.jpg"


def test_eight_threads_get_the_answers_of_one(chain: Chain) -> None:
    """Texts, images, and batches, all through one Predictor and its tokenizer."""
    predictor = Predictor.load(chain.int8, threads=1)
    examples = [*chain.splits.train, *chain.splits.dev[:8]]
    examples = [replace(e, text=" ".join([e.text] * (1 + n % 4))) for n, e in enumerate(examples)]

    def alone(example: Example) -> object:
        return predictor.predict(example.text, example.image, example.id)

    def together(part: Sequence[Example]) -> object:
        return list(predictor.stream(part))

    parts = [examples[start : start + 9] for start in range(0, len(examples), 9)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(alone, examples * 4)) == list(map(alone, examples)) * 4
        assert list(pool.map(together, parts * 4)) == list(map(together, parts)) * 4
    assert set(predictor.predict("great", None).probabilities) == set(LABELS)
