"""Every command that writes to an --out: its words for three writers, whose results can be told apart."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from campaign.outcome import Wrong
from campaign.subject import SIZES, Subject
from distill.data.generated import write_demo_data

A, B, OLD = WRITERS = ("a", "b", "c")
ROWS = 300  # of a writer of predictions: more than one chunk
SEEDS = {A: "1", B: "2", OLD: "3"}
SPLITS = {A: "dev", B: "test", OLD: "train"}
EXAMPLES = {A: str(SIZES[1]), B: str(SIZES[2]), OLD: str(SIZES[0])}
RATES = {A: "1e-05", B: "2e-05", OLD: "3e-05"}


@dataclass(frozen=True)
class Command:
    """`words` are those of a writer for an OUT, two folders below the writers' inputs.

    `mark` reads OUT and says which of `marks` it has; it raises for what is not whole, and returns None for a run
    that does not claim to be finished. `heavy`: it trains, plots or starts processes. `work`: it keeps its work at
    OUT. `fresh`: it refuses an OUT that is there.
    """

    name: str
    out: str
    words: Callable[[Subject, Path, str], list[str]]
    mark: Callable[[Path], str | None]
    marks: Mapping[str, str]
    heavy: bool = False
    work: bool = False
    fresh: bool = False


def prepare_inputs(subject: Subject, folder: Path) -> None:
    """The writers' own rows and Bundles, which some commands read."""
    images = sorted((subject.data / "images").iterdir())
    for writer in WRITERS:
        shutil.copytree(subject.int8, folder / f"bundle-{writer}")
        rows = [
            {"id": f"{writer}{n}", "text": f"post {n}", "image": str(images[n % len(images)])} for n in range(ROWS)
        ]
        (folder / f"{writer}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_demo_data(folder / "fixed", (1, 1, 40), seed=99)  # a test set for retrain, of nobody's data
    labelled = json.loads((subject.data / "train.json").read_text())
    for row in labelled:
        row["image"] = str(subject.data / row["image"])
    (folder / "labelled.json").write_text(json.dumps(labelled))


def _predict(s: Subject, out: Path, writer: str) -> list[str]:
    return ["predict", str(s.int8), str(out.parent.parent / f"{writer}.jsonl"), "--out", str(out), "--overwrite"]


def _predictions(out: Path) -> str:
    lines = out.read_bytes().splitlines()
    writers = {json.loads(line)["id"][0] for line in lines}
    if len(lines) != ROWS or len(writers) != 1:
        raise Wrong("predictions that are not whole", f"{len(lines)} lines of {writers}")
    return writers.pop()


def _evaluate(s: Subject, out: Path, writer: str) -> list[str]:
    return [
        "evaluate",
        str(s.int8),
        "--data",
        str(s.data),
        "--split",
        SPLITS[writer],
        "--out",
        str(out),
        "--overwrite",
    ]


def _verify(s: Subject, out: Path, writer: str) -> list[str]:
    return [
        "verify",
        str(out.parent.parent / f"bundle-{writer}"),
        "--threads",
        "1",
        "--out",
        str(out),
        "--overwrite",
    ]


def _split(s: Subject, out: Path, writer: str) -> list[str]:
    return [
        "split",
        str(out.parent.parent / "labelled.json"),
        "--seed",
        SEEDS[writer],
        "--out",
        str(out),
        "--overwrite",
    ]


def _explain(s: Subject, out: Path, writer: str) -> list[str]:
    png = ["--out", str(out.with_suffix(".png"))]
    return ["explain", str(s.int8), "--text", f"WHO DID {writer}", "--labels", "1", *png, "--overwrite"]


def _inspect(s: Subject, out: Path, writer: str) -> list[str]:
    return [
        "inspect",
        str(s.int8),
        "--data",
        str(s.data),
        "--split",
        SPLITS[writer],
        "--out",
        str(out),
        "--overwrite",
    ]


def _bench(s: Subject, out: Path, writer: str) -> list[str]:
    quick = ["--calls", "3", "--starts", "1", "--threads", "1", "--name", writer]
    return ["bench", "run", str(s.int8), "--data", str(s.data), *quick, "--out", str(out), "--overwrite"]


def _pack(s: Subject, out: Path, writer: str) -> list[str]:
    words = ["bench", "pack", str(s.int8), "--data", str(s.data), "--split", SPLITS[writer], "--alone"]
    return [*words, "--out", str(out), "--overwrite"]


def _teacher(s: Subject, out: Path, writer: str) -> list[str]:
    settings = [*s.settings, "--set", "teacher.epochs=1", "--set", f"teacher.seed={SEEDS[writer]}"]
    return ["train-teacher", "--data", str(s.data), *settings, "--out", str(out), "--overwrite"]


def _student(s: Subject, out: Path, writer: str) -> list[str]:
    settings = [*s.settings, "--set", "student.epochs=1", "--set", f"student.seed={SEEDS[writer]}"]
    words = ["train-student", "--data", str(s.data), "--teacher", str(s.teacher), *settings]
    return [*words, "--out", str(out), "--overwrite"]


def _finetune(s: Subject, out: Path, writer: str) -> list[str]:
    settings = [*s.settings, "--set", "finetune.epochs=1", "--set", f"finetune.learning_rate={RATES[writer]}"]
    words = ["finetune-int8", str(s.student), "--data", str(s.data), "--teacher", str(s.teacher), *settings]
    return [*words, "--out", str(out), "--overwrite"]


def _export(s: Subject, out: Path, writer: str) -> list[str]:
    settings = [*s.settings, "--set", f"export.card.name={writer}"]
    return ["export", str(s.student), "--data", str(s.data), *settings, "--out", str(out), "--overwrite"]


def _tune(s: Subject, out: Path, writer: str) -> list[str]:
    words = [
        "tune",
        "--data",
        str(s.data),
        *s.settings,
        "--set",
        "teacher.epochs=1",
        "--trials",
        "1",
        "--folds",
        "2",
    ]
    return [*words, "--seed", SEEDS[writer], "--out", str(out), "--overwrite"]


def _compare(s: Subject, out: Path, writer: str) -> list[str]:
    words = ["compare-teachers", "--data", str(s.data), *s.settings, "--set", "teacher.epochs=1", "--try", "one"]
    return [
        *words,
        "--try",
        f"{writer}=teacher.seed=5",
        "--folds",
        "2",
        "--seeds",
        "1",
        "--out",
        str(out),
        "--overwrite",
    ]


def _retrain(s: Subject, out: Path, writer: str) -> list[str]:
    words = ["retrain", str(s.teacher), "--data", str(s.data), "--test", str(out.parent.parent / "fixed")]
    settings = ["--set", "teacher.epochs=1", "--set", f"teacher.seed={SEEDS[writer]}", "--max-f1-drop", "1"]
    return [*words, *settings, "--out", str(out), "--overwrite"]


def _json(*path: str | int) -> Callable[[Path], str]:
    """What stands at a place in a JSON file."""

    def mark(out: Path) -> str:
        tree: Any = json.loads(out.read_bytes())
        for key in path:
            tree = tree[key]
        return str(tree)

    return mark


def _zip(out: Path) -> str:
    with zipfile.ZipFile(io.BytesIO(out.read_bytes())) as archive:
        if bad := archive.testzip():
            raise Wrong("an archive that is not whole", bad)
        return str(json.loads(archive.read("payload/eval_set/eval_set.json"))["split"])


def _splits(out: Path) -> str:
    if sum(len(json.loads((out / f"{name}.json").read_bytes())) for name in ("train", "dev", "test")) != SIZES[0]:
        raise Wrong("a split that is not whole")
    return _json("seed")(out / "split.json")


def _inspection(out: Path) -> str:
    pages = [path for path in out.iterdir() if path.suffix == ".png"]
    if not (out / "index.html").read_text().rstrip().endswith("</html>") or len(pages) < 3:
        raise Wrong("an inspection that is not whole")
    return _json("split")(out / "inspect.json")


def _bundle(out: Path) -> str:
    """Checksums are verified here, not by distill, which has a cache of nothing but may change."""
    manifest = json.loads((out / "manifest.json").read_bytes())
    for name, digest in manifest["files"].items():
        if hashlib.sha256((out / name).read_bytes()).hexdigest() != digest:
            raise Wrong("a Bundle that is not whole", name)
    return str(re.search(r"^- name: (.*)$", (out / "README.md").read_text(), re.MULTILINE)[1])  # type: ignore[index]


def _run(*path: str | int, file: str = "run.json") -> Callable[[Path], str | None]:
    """A run's mark, of its `file`; None for one that does not claim to be finished."""

    def mark(out: Path) -> str | None:
        if not (out / "run.json").exists():
            return None
        digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
        if digest != _json("sha256")(out / "run.json"):
            raise Wrong("a finished run with other weights")
        json.loads((out / "metrics.json").read_bytes())
        return _json(*path)(out / file)

    return mark


def _finished(name: str, *path: str | int) -> Callable[[Path], str | None]:
    """A mark that stands in one JSON file, which says that a folder is finished."""
    return lambda out: _json(*path)(out / name) if (out / name).exists() else None


def _table() -> Mapping[str, Command]:
    seed, names = ("config", "seed"), dict(zip(WRITERS, WRITERS, strict=True))
    bundles = {writer: f"bundle-{writer}" for writer in WRITERS}
    light = (
        Command("predict", "predictions.jsonl", _predict, _predictions, names),
        Command("evaluate", "metrics.json", _evaluate, _json("quality", "examples"), EXAMPLES),
        Command("verify", "verified.json", _verify, _json("bundle"), bundles),
        Command("split", "split", _split, _splits, SEEDS, fresh=True),
        Command("explain", "explained.json", _explain, _json("words", 2, "text"), names),
        Command("bench pack", "bench.pyz", _pack, _zip, SPLITS),
    )
    finetuned = _run("depends_on", "finetune", 1, file="started.json")
    compared = _finished("comparison.json", "recipes", 1, "name")
    heavy = (
        Command("inspect", "inspected", _inspect, _inspection, SPLITS),
        Command("bench", "bench.json", _bench, _json("machine", "name"), names),
        Command("export", "bundle", _export, _bundle, names),
        Command("train-teacher", "teacher", _teacher, _run(*seed), SEEDS, work=True),
        Command("train-student", "student", _student, _run(*seed), SEEDS, work=True),
        Command("finetune-int8", "finetuned", _finetune, finetuned, RATES, work=True),
        Command("retrain", "retrained", _retrain, _run(*seed), SEEDS, work=True),
        Command("tune", "tuned", _tune, _finished("study.json", "seed"), SEEDS, work=True),
        Command("compare-teachers", "compared", _compare, compared, names, work=True),
    )
    return {command.name: command for command in (*light, *(replace(command, heavy=True) for command in heavy))}


COMMANDS = _table()
