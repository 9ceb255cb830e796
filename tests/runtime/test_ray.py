"""Blocks of a source, their files, and Ray's workers: the answers of one process, wherever it broke off."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chain import Chain
from click.testing import CliRunner, Result

from distill.cli.main import main
from distill.core.errors import ClusterError, DataError, InstallError, OutputError
from distill.data.generated import write_demo_data
from distill.data.sources import FailedRow, InMemoryExample, Source
from distill.runtime.opened import RunOptions
from distill.runtime.pipeline import CHUNK_SIZE
from distill.runtime.ray import blocks
from distill.runtime.ray.blocks import Block, read_block, rows_per_block, split_into_blocks
from distill.runtime.ray.output_folder import OutputFolder
from distill.runtime.ray.session import ClusterCores, RayOptions, plan_workers

ROWS = CHUNK_SIZE + 61
SMALL = 4  # rows in a chunk, where blocks are looked at and nothing is answered
KINDS = ("posts.jsonl", "posts.csv", "posts.json", "posts.parquet", "tables", "images")
BY = {"Bundle": "0f", "version": "1", "chunk": SMALL}


def distill(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def table(path: Path, rows: list[dict[str, Any]], group: int = 3) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=group)


@pytest.fixture(scope="module")
def memes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memes") / "data"
    write_demo_data(folder, sizes=(12, 8, 8))
    return folder


def source_of(kind: str, memes: Path, folder: Path) -> Path:
    """Eleven rows or so in each form, some of which cannot be read."""
    rows: list[dict[str, Any]] = [{"id": f"r{n}", "text": f"text {n}", "image": f"{n}.jpg"} for n in range(11)]
    path = folder / kind
    if kind.endswith(".jsonl"):
        lines = [json.dumps(row) for row in rows]
        lines[5] = "{half"
        path.write_text("\n\n".join(["", *lines, "", ""]))
    elif kind.endswith(".csv"):
        with path.open("w", newline="") as handle:
            writer = csv.DictWriter(handle, ["id", "text", "image"])
            writer.writeheader()
            writer.writerows([*rows, {"id": "", "text": "two\nlines", "image": ""}])
    elif kind.endswith(".json"):
        path.write_text(json.dumps([*rows, {"id": True}]))
    elif kind.endswith(".parquet"):
        table(path, [*rows, {"id": "empty", "text": None, "image": None}])
    else:
        path.mkdir()
        images = sorted(memes.glob("**/*.jpg")) or sorted(memes.glob("**/*.png"))
        for n, row in enumerate(rows):
            if kind == "tables":
                table(path / f"{n // 3}.parquet", rows[n // 3 * 3 : n // 3 * 3 + 3], group=2)
            else:
                shutil.copyfile(images[n], path / f"{n:02d}{images[n].suffix}")
                (path / f"{n:02d}.txt").write_bytes(b"\xff" if n == 7 else row["text"].encode())
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CHUNK_SIZE", SMALL)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_hold_what_one_reader_reads(kind: str, memes: Path, tmp_path: Path, small: None) -> None:
    source = source_of(kind, memes, tmp_path)
    found = split_into_blocks(Source.open(source))
    whole = list(Source.open(source).items())
    assert [block.count for block in found] == [SMALL, SMALL, len(whole) - 2 * SMALL]
    assert [block.first for block in found] == [0, SMALL, 2 * SMALL]
    assert [list(read_block(block)) for block in found] == [whole[:4], whole[4:8], whole[8:]]
    assert any(isinstance(item, FailedRow) for item in whole) or kind == "tables"


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_block_whose_rows_changed_has_another_content(
    kind: str, memes: Path, tmp_path: Path, small: None
) -> None:
    source = source_of(kind, memes, tmp_path)
    before = [block.content_hash for block in split_into_blocks(Source.open(source))]
    assert [block.content_hash for block in split_into_blocks(Source.open(source))] == before
    if kind == "tables":
        table(source / "2.parquet", [{"id": f"r{n}", "text": f"other {n}", "image": None} for n in range(3)], 2)
    elif kind == "images":
        (source / "06.txt").write_text("a longer text")
    elif kind == "posts.parquet":
        table(source, [{"id": f"r{n}", "text": "other", "image": None} for n in range(12)])
    else:
        source.write_text(source.read_text().replace("text 6", "word 6"))
    after = [block.content_hash for block in split_into_blocks(Source.open(source))]
    changed = [number for number, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    # Of a Parquet file the footer is known, so all of its blocks are others; 2.parquet holds rows 6, 7 and 8.
    assert changed == {"posts.parquet": [0, 1, 2], "tables": [1, 2]}.get(kind, [1])


def test_a_source_that_changes_on_the_way_is_not_answered(memes: Path, tmp_path: Path, small: None) -> None:
    lines, rows = (source_of(kind, memes, tmp_path) for kind in ("posts.jsonl", "posts.parquet"))
    in_lines, in_rows = split_into_blocks(Source.open(lines))[1], split_into_blocks(Source.open(rows))[1]
    lines.write_text("\n" + lines.read_text())
    table(rows, [{"id": "1", "text": "other", "image": None}] * 12)
    for block in (in_lines, in_rows):
        with pytest.raises(DataError, match=r"changed while it was read; give the same command again"):
            list(read_block(block))


@pytest.mark.parametrize(
    ("total", "chunks"), [(1, 1), (100_000, 1), (1_000_000, 3), (100_000_000, 16), (10_000_000_000, 16)]
)
def test_blocks_grow_with_the_source_and_stay_whole_chunks(total: int, chunks: int) -> None:
    assert rows_per_block(total) == chunks * CHUNK_SIZE


def test_a_parquet_row_may_name_its_image_or_bring_it(memes: Path, tmp_path: Path) -> None:
    image = next(path for path in sorted(memes.glob("**/*")) if path.suffix in (".jpg", ".png"))
    shutil.copyfile(image, tmp_path / image.name)
    content = image.read_bytes()
    table(tmp_path / "names.parquet", [{"id": 7, "text": "t", "image": image.name, "labels": 3}])
    table(tmp_path / "bytes.parquet", [{"id": "a", "text": None, "image": content}])
    held = [{"bytes": content, "path": "x.jpg"}, {"bytes": None, "path": image.name}, None]
    table(
        tmp_path / "struct.parquet", [{"id": f"{n}", "text": "t", "image": image} for n, image in enumerate(held)]
    )
    (named,) = Source.open(tmp_path / "names.parquet").items()
    assert not isinstance(named, FailedRow)
    assert (named.id, named.image) == ("7", tmp_path / image.name)
    bytes_ = tmp_path / "bytes.parquet"
    assert list(Source.open(bytes_).items()) == [InMemoryExample("a", "", content, f"{bytes_}: row 1: image")]
    images = [
        item.image for item in Source.open(tmp_path / "struct.parquet").items() if not isinstance(item, FailedRow)
    ]
    assert images == [content, tmp_path / image.name, None]


def test_a_parquet_row_whose_image_is_something_else_is_not_answered_without_it(tmp_path: Path) -> None:
    for name, image, wanted in (
        ("strange", {"data": b"x", "height": 3}, "row 1: image must hold 'bytes' or 'path'; it holds ['data', 'he"),
        ("written", {"bytes": "abc", "path": "a.jpg"}, "row 1: the 'bytes' of image must be binary; got 'abc'"),
        ("numbered", {"path": 3}, "row 1: image must be a file name; got 3"),
    ):
        table(tmp_path / f"{name}.parquet", [{"id": "a", "text": "t", "image": image}])
        (fault,) = Source.open(tmp_path / f"{name}.parquet").items()
        assert isinstance(fault, FailedRow)
        assert fault.id == "a"
        assert wanted in fault.error


def test_a_parquet_that_cannot_be_used_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "posts.parquet"
    for rows, wanted in (
        ([{"id": 1, "plot": "t"}], "has no column for texts or images; .* It has 'id', 'plot'"),
        ([{"id": 1, "text": "t", "img": "a", "pic": "b"}], "could be the image: 'img', 'pic'"),
    ):
        table(path, rows)
        with pytest.raises(DataError, match=wanted):
            list(Source.open(path).items())
    path.write_bytes(b"PAR1 and nothing more of it")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(Source.open(path).items())
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DataError, match=r"holds posts\.parquet and a\.jpg; give a folder of one kind"):
        list(Source.open(tmp_path).items())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        InstallError, match=r"posts\.parquet: reading it needs pyarrow; pip install 'distill\[parquet\]'"
    ):
        list(Source.open(path).items())


def output_folder(out: Path, count: int = 3, by: dict[str, Any] = BY) -> OutputFolder:
    return OutputFolder(
        out, Path("posts.jsonl"), [Block(n, n * 4, 4, f"content {n}", ()) for n in range(count)], by
    )


def test_a_run_goes_on_with_the_files_that_are_not_there(tmp_path: Path) -> None:
    ours = output_folder(tmp_path / "out")
    assert ours.missing(resume=False) == list(ours.blocks)
    ours.begin()
    assert ours.missing(resume=False) == list(ours.blocks)  # nothing is lost yet
    ours.write(ours.blocks[1], b'{"id": "4", "error": "unreadable"}\n{"id": "5", "labels": ["error"]}\n')
    with pytest.raises(OutputError, match=r"1 of 3 files of predictions are there already; go on with --resume"):
        ours.missing(resume=False)
    assert ours.missing(resume=True) == [ours.blocks[0], ours.blocks[2]]
    with pytest.raises(OutputError, match="2 files of predictions are missing"):
        ours.finish()
    for block in ours.missing(resume=True):
        ours.write(block, b'{"id": "1", "error": "too"}\n')
    assert ours.finish() == 3
    about = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (about["finished"], about["failed_rows"], about["rows"], about["files"]) == (True, 3, 12, 3)
    assert [path.name[:18] for path in ours.files()] == [f"predictions-00000{n}" for n in range(3)]


def test_answers_of_something_else_are_not_mixed_in(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ours = output_folder(out)
    ours.begin()
    ours.write(ours.blocks[0], b"{}\n")
    others = (output_folder(out, by=BY | {"Bundle": "aa"}), OutputFolder(out, ours.source, ours.blocks[1:], BY))
    for other in others:
        with pytest.raises(
            OutputError, match=r"predictions-000000-[0-9a-f]{12}\.jsonl is of other rows, or by another"
        ):
            other.missing(resume=True)
    assert len(ours.files()) == 1
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(OutputError, match="holds files that --engine ray did not write"):
        output_folder(tmp_path / "photos").missing(resume=True)
    with pytest.raises(OutputError, match="is a file, and --engine ray writes a folder"):
        output_folder(tmp_path / "photos" / "a.jpg").missing(resume=False)


@pytest.mark.parametrize(
    ("asked", "cores", "plan"),
    [
        (RayOptions(), ClusterCores(8, 4), RayOptions(8, 1)),
        (RayOptions(2), ClusterCores(8, 4), RayOptions(2, 4)),
        (RayOptions(1), ClusterCores(8, 4), RayOptions(1, 4)),
        (RayOptions(3), ClusterCores(8, 8), RayOptions(3, 2)),
        (RayOptions(0, 3), ClusterCores(8, 4), RayOptions(2, 3)),
        (RayOptions(16), ClusterCores(8, 4), RayOptions(16, 1)),  # the others wait for machines
        (RayOptions(5, 2, "auto"), ClusterCores(64, 8), RayOptions(5, 2, "auto")),
    ],
)
def test_workers_and_threads_share_the_cores(asked: RayOptions, cores: ClusterCores, plan: RayOptions) -> None:
    assert plan_workers(asked, cores) == plan


def test_a_worker_larger_than_every_machine_is_refused() -> None:
    with pytest.raises(ClusterError, match="a worker of 5 threads has no room: the largest machine has 4 cores"):
        plan_workers(RayOptions(1, 5), ClusterCores(8, 4))


def test_commands_that_make_no_sense_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "give both" in distill("predict", "bundle", "posts.jsonl", "--engine", "ray").output
    assert "--workers are those of --engine ray" in distill("predict", "bundle", "p.jsonl", "--workers", 2).output
    for module in ("ray", "ray.data"):  # another test may have imported it
        monkeypatch.setitem(sys.modules, module, None)
    result = distill("predict", "bundle", "posts.jsonl", "--engine", "ray", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == "error: --engine ray needs ray; pip install 'distill[ray]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def ray_here() -> Iterator[Any]:
    """One Ray for all tests of this file: it takes seconds to start."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False)
    yield ray
    ray.shutdown()


def posts_of(chain: Chain, path: Path, count: int) -> Path:
    """JSON lines of all lengths with and without images; every 97th cannot be read."""
    examples = [*chain.splits.train, *chain.splits.dev]
    lines = []
    for n in range(count):
        example = examples[n * 7 % len(examples)]
        text, image = " ".join([example.text] * (1 + n % 5)), None if n % 3 == 0 else str(example.image)
        lines.append("{half" if n % 97 == 96 else json.dumps({"id": f"row-{n}", "text": text, "image": image}))
    path.write_text("\n".join(lines) + "\n")
    return path


def joined(out: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(out.glob("predictions-*.jsonl")))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own, of every kind
def test_ray_gives_the_bytes_of_one_process_and_goes_on(chain: Chain, ray_here: Any, tmp_path: Path) -> None:
    posts, alone, out = posts_of(chain, tmp_path / "posts.jsonl", ROWS), tmp_path / "alone.jsonl", tmp_path / "out"
    by_one = distill("predict", chain.int8, posts, "--out", alone, "--threads", 1)
    assert by_one.exit_code == 1
    words = ("predict", chain.int8, posts, "--out", out, "--engine", "ray", "--workers", 2)
    result = distill(*words)
    assert result.exit_code == 1, result.output
    assert "3 row(s) could not be read" in result.stderr
    (cut,) = re.findall(r"warning: .* texts are cut at max_tokens=32: .*", by_one.stderr)
    assert cut in result.stderr
    first, second = sorted(out.glob("predictions-*.jsonl"))
    assert len(first.read_bytes().splitlines()) == CHUNK_SIZE
    assert joined(out) == alone.read_bytes()
    stood = first.stat().st_mtime_ns
    second.unlink()
    result = distill(*words, "--resume")
    assert "1 of 2 files of predictions are there already" in result.stderr
    assert (result.exit_code, joined(out)) == (1, alone.read_bytes())
    assert first.stat().st_mtime_ns == stood
    assert "all rows are predicted already" in distill(*words, "--resume").stderr


@pytest.mark.filterwarnings("ignore")
def test_what_a_worker_cannot_answer_is_one_line(chain: Chain, ray_here: Any, tmp_path: Path) -> None:
    from distill.runtime.ray.predict import MAX_ATTEMPTS, AttemptCounter, Worker

    posts = posts_of(chain, tmp_path / "posts.jsonl", 3)
    (block,) = split_into_blocks(Source.open(posts))
    attempts = ray_here.remote(num_cpus=0)(AttemptCounter).remote()
    posts.write_text("other")
    worker = Worker([ray_here.put({})], attempts, RunOptions(1), "0.0.0")
    (said,) = worker({"block": [block]})["error"]
    assert "and the driver has 0.0.0; install the same version on all machines" in said
    for _ in range(MAX_ATTEMPTS):
        (said,) = worker({"block": [block]})["error"]
    assert f"rows 1 to 3: {MAX_ATTEMPTS} workers died over them" in said


def start(words: tuple[object, ...]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "distill.cli", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_workers_and_a_killed_driver_cost_no_answer(chain: Chain, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("ray")
    posts, alone, out = (
        posts_of(chain, tmp_path / "posts.jsonl", 60 * CHUNK_SIZE),
        tmp_path / "alone.jsonl",
        tmp_path / "o",
    )
    by_one = distill("predict", chain.int8, posts, "--out", alone, "--threads", 1)
    assert by_one.exit_code == 1
    words = ("predict", chain.int8, posts, "--out", out, "--engine", "ray", "--workers", 2)

    def after(process: subprocess.Popen[bytes], files: int) -> list[Any]:
        """The process's workers, once there are so many files."""
        while process.poll() is None and len(list(out.glob("predictions-*"))) < files:
            time.sleep(0.05)
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "MapWorker" in " ".join(child.cmdline())]

    driver = start(words)
    after(driver, 5)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    left = {path.name: path.stat().st_mtime_ns for path in out.glob("predictions-*")}
    assert 5 <= len(left) < 60

    driver = start((*words, "--resume"))
    workers = after(driver, len(left) + 3)
    assert len(workers) == 2
    workers[0].kill()
    _, said = driver.communicate()
    assert driver.returncode == 1, said
    assert joined(out) == alone.read_bytes()
    assert {name: (out / name).stat().st_mtime_ns for name in left} == left
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []
