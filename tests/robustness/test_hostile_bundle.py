"""Bundles and runs from strangers: nothing in them is run, nothing beside them is read, and what is wrong with them
is said in one line. Their checksums are right here, so it is the other checks that are tried."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from chain import Chain
from click.testing import CliRunner
from hostile_bundles import MANIFEST, forge, outcomes, seal
from hostile_graphs import CHANGES, GRAPHS, Change
from hostile_tokenizers import TOKENIZERS
from onnx import numpy_helper

import bench
import distill
import export
import student
import teacher
from distill.cli.main import main
from distill.core.errors import BundleError, RunError
from distill.core.storage.files import sha256_of
from distill.data.run_folder import read_run_labels, weights_sha256
from distill.model.checkpoint import Checkpoint
from distill.model.soft_targets import SoftTargets
from distill.runtime import bundle as bundles
from distill.runtime import predictor as runtime
from distill.runtime.bundle import Bundle, Contents
from distill.runtime.bundle_files import FILES
from distill.runtime.golden import print_report, replay_golden
from distill.runtime.predictor import Predictor
from export.embed import embed_contents

PACKAGES = (bench, distill, export, student, teacher)
QUICK_S = 8
EVIL = "\x1b\x07\x9b\u202e"
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}


@pytest.fixture
def copy(chain: Chain, tmp_path: Path) -> Path:
    return Path(shutil.copytree(chain.int8, tmp_path / "place" / "bundle"))


@pytest.fixture
def single(chain: Chain, bundle: Bundle, tmp_path: Path) -> Path:
    """A Bundle in one file."""
    keys = (
        "model",
        "kind",
        "precision",
        "target",
        "tokenizer_json",
        "labels",
        "thresholds",
        "preprocess",
        "figures",
    )
    given = {key: getattr(bundle, key) for key in keys}
    contents = Contents(**given, recipe={}, golden=bundle.golden, card="", run_sha256="0")
    (tmp_path / "alone").mkdir()
    embed_contents(bundle.model, contents, tmp_path / "alone/model.onnx")
    return tmp_path / "alone/model.onnx"


def apply(change: Change, folder: Path) -> None:
    path = folder / change.file
    if change.file == "model.onnx":
        tree: Any = onnx.load(str(path))
    else:
        tree = json.loads(path.read_bytes()) if change.file.endswith(".json") else path.read_bytes()
    made = change.change(tree)
    if not isinstance(made, bytes):
        made = tree.SerializeToString() if change.file == "model.onnx" else json.dumps(tree).encode()
    forge(folder, change.file, made)


def refusal(place: Path) -> str:
    """What opening it, or else the first question, is refused with; in time and in one short line."""
    begun = time.perf_counter()
    with pytest.raises(BundleError) as caught:
        Predictor.load(place, threads=1).predict("WHO DID THIS, said the cat" + "o" * 40, None)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 3 * len(str(place)) + 500
    assert time.perf_counter() - begun < QUICK_S
    return message


@pytest.mark.parametrize("change", [*CHANGES, *TOKENIZERS], ids=lambda change: f"{change.file} {change.name}")
def test_a_changed_bundle_is_refused_for_what_is_wrong_with_it(copy: Path, change: Change) -> None:
    (copy.parent / "secret.bin").write_bytes(bytes(4))
    apply(change, copy)
    assert change.reason in refusal(copy)


@pytest.mark.parametrize("change", GRAPHS, ids=lambda change: change.name)
def test_a_bundle_in_one_file_is_held_to_the_same(single: Path, change: Change) -> None:
    model = onnx.load(str(single))
    made = change.change(model)
    single.write_bytes(made if isinstance(made, bytes) else seal(model))
    assert refusal(single)


SINGLES = {
    "manifest": (
        ["[]", "3", "{}", '{"format": 3}', '{"format": 4}', '{"format": 1, "format": 4}', "NaN", "[" * 90_000],
        "manifest",
    ),
    "labels": (["3", "null", '["a"]', '""'], "labels"),
    "tokenizer": (["3", "{}", '"x"'], "tokenizer"),
    "graph_sha256": (["3", "null", '""'], "graph"),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, (texts, _) in SINGLES.items() for text in texts])
def test_metadata_of_another_form_are_refused(single: Path, name: str, text: str) -> None:
    model = onnx.load(str(single))
    next(entry for entry in model.metadata_props if entry.key == f"distill.{name}").value = text
    onnx.save(model, str(single))
    assert refusal(single)


def test_metadata_given_twice_or_without_end_are_refused(single: Path) -> None:
    model = onnx.load(str(single))
    model.metadata_props.add(key="distill.labels", value='"a"')
    onnx.save(model, str(single))
    assert "twice" in refusal(single)
    del model.metadata_props[-1]
    model.metadata_props.add(key="long", value="x" * (129 << 20))
    onnx.save(model, str(single))
    assert "metadata have more than" in refusal(single)


def test_checksums_are_found_right_before_anything_is_parsed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def noted(name: str, real: Any) -> Any:
        return lambda *a, **k: (done.append(f"{name} {a[0]}"), real(*a, **k))[1]

    monkeypatch.setattr(bundles, "read_verified", noted("checked", bundles.read_verified))
    monkeypatch.setattr(bundles, "check_model", noted("looked at", bundles.check_model))
    monkeypatch.setattr(bundles, "Preprocessor", noted("tokenizer of", bundles.Preprocessor))
    monkeypatch.setattr(onnxruntime, "InferenceSession", noted("opened", onnxruntime.InferenceSession))
    Predictor.load(copy)
    assert [line.split()[0] for line in done] == ["checked", "looked", "tokenizer", *["opened"] * 3]
    done.clear()
    for name in FILES:
        content = (copy / name).read_bytes()
        (copy / name).write_bytes(content + b" ")
        assert "its content does not match its SHA-256" in refusal(copy)
        (copy / name).write_bytes(content)
    assert {line.split()[0] for line in done} == {"checked"}


def test_a_model_that_is_swapped_after_the_check_is_found_out(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runtime.open_model

    def swap(bundle: Bundle, *rest: Any) -> Any:
        content = bundle.model.read_bytes()
        bundle.model.unlink()
        bundle.model.write_bytes(content)
        return real(bundle, *rest)

    monkeypatch.setattr(runtime, "open_model", swap)
    assert "changed since it was checked" in refusal(copy)


def test_a_bundle_may_be_reached_by_a_link_but_may_hold_none(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(copy)
    assert Predictor.load(tmp_path / "latest").predict("x", None).probabilities
    (copy / MANIFEST).rename(tmp_path / "elsewhere")
    (copy / MANIFEST).symlink_to(tmp_path / "elsewhere")
    assert "is not a plain file" in refusal(copy)
    (copy / MANIFEST).unlink()
    os.mkfifo(copy / MANIFEST)
    assert "no Bundle" in refusal(copy)


def test_other_files_in_the_folder_are_neither_read_nor_counted(copy: Path, chain: Chain) -> None:
    size = Bundle.open(chain.int8).size_bytes()
    (copy / ".DS_Store").write_bytes(b"x" * 1000)
    (copy / "model.onnx.data").write_bytes(b"x" * 1000)
    (copy / "dangling").symlink_to("nothing")
    (copy / "folder").mkdir()
    assert Predictor.load(copy).bundle.size_bytes() == size


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_file_of_gigabytes_is_not_read(copy: Path, name: str) -> None:
    with (copy / name).open("r+b") as handle:
        handle.truncate(3 << 30)  # sparse
    assert "has more than" in refusal(copy)


def test_opening_reads_the_bundles_own_files_and_unpickles_nothing(copy: Path) -> None:
    script = """
import sys
seen = []
def hook(event, details):
    if event in ("open", "pickle.find_class", "subprocess.Popen", "os.system", "socket.connect", "ctypes.dlopen"):
        if not isinstance(details[0], int):  # a descriptor, of what was opened by its name
            seen.append((event, str(details[0])))
from distill.runtime.predictor import Predictor
import distill.runtime.onnx.session, distill.runtime.onnx.tower_sessions, distill.runtime.onnx.towers
import numpy, PIL.Image, rich.progress
PIL.Image.init()
sys.addaudithook(hook)
from pathlib import Path
Predictor.load(Path(sys.argv[1])).predict("WHO DID THIS", None)
print("\\n".join(" ".join(found) for found in seen))
"""
    done = subprocess.run([sys.executable, "-c", script, copy], capture_output=True, text=True, check=True)
    opened = set(done.stdout.splitlines())
    own = {f"open {copy / name}" for name in (MANIFEST, *FILES)}
    system = {line for line in opened if line.startswith(("open /proc/", "open /sys/"))}
    assert {line for line in opened - system if not line.endswith(".pyc")} == own


def calls_of_danger(tree: ast.AST) -> Iterator[str]:
    """Whatever in a program could run what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            )
            yield from (f"import {name}" for name in names if name.split(".")[0] in PICKLES)
        if not isinstance(node, ast.Call):
            continue
        called, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called in ("eval", "exec", "compile", "__import__", "os.system", "os.popen"):
            yield called
        if called.endswith("torch.load") and given.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if called in ("np.load", "numpy.load") and given.get("allow_pickle") != "False":
            yield "np.load without allow_pickle=False"
        if given.get("shell", "False") != "False":
            yield "a shell"
        if given.get("trust_remote_code", "False") != "False" or given.get("allow_pickle", "False") != "False":
            yield "trust in others' code"


def test_no_package_can_run_what_it_reads() -> None:
    found = {}
    for package in PACKAGES:
        for path in Path(str(package.__file__)).parent.rglob("*.py"):
            if danger := list(calls_of_danger(ast.parse(path.read_text(encoding="utf-8")))):
                found[str(path)] = danger
    assert found == {}
    bad = ["import pickle", "np.load(p)", "torch.load(p)", "eval(x)", "run(c, shell=True)"]
    bad += ["f(trust_remote_code=True)"]
    assert [len(list(calls_of_danger(ast.parse(line)))) for line in bad] == [1] * 6


def test_a_bundles_own_answers_may_be_anything(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads((copy / "golden.json").read_bytes())
    for key, value in (
        ("cases", [{"text": 3, "image": None}]),
        ("cases", [{"text": "", "image": "AAAA"}]),
        ("cases", [{"text": "", "image": None}] * 1000),
        ("cases", [{"text": "a" * 20_001, "image": None}] * 8),
        ("cases", []),
        *(("tolerance", tolerance) for tolerance in (10**400, 1.5, 1e300, -1e-9, None, True, "0.1")),
        ("logits", [[10**400]]),
        ("logits", [[-1e30] * 6] * 8),
        ("logits", [[0.0] * 5] * 8),
        ("ids", [[-1]] * 8),
        ("pixels", []),
        ("exported_on", []),
        ("exported_on", {"cpu": 3}),
    ):
        forge(copy, "golden.json", json.dumps({**whole, key: value}).encode())
        with pytest.raises(BundleError, match="its golden answers cannot be read"):
            replay_golden(Predictor.load(copy))
    for absurd in ("1e999", "-1e999", "NaN", "Infinity"):
        forge(copy, "golden.json", json.dumps({**whole, "tolerance": 12345}).replace("12345", absurd).encode())
        with pytest.raises(BundleError, match="not readable as JSON: "):
            replay_golden(Predictor.load(copy))
    odd = {"cpu": "[/red]", "target": "\x1b[2J\ud800", "pillow": "\u202e" * 1000}
    forge(copy, "golden.json", json.dumps({**whole, "exported_on": odd}).encode())
    print_report(replay_golden(Predictor.load(copy)), "[/x]")
    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_mutants_are_answered_or_refused_and_never_end_the_process(chain: Chain, tmp_path: Path) -> None:
    found = outcomes(Path(shutil.copytree(chain.int8, tmp_path / "whole")), 0, seconds=15, count=250)
    strange = {outcome: mutants for outcome, mutants in found.items() if outcome not in ("answer", "refused")}
    assert strange == {}
    assert len(found["answer"]) > 5
    assert len(found["refused"]) > 20


@pytest.fixture
def run(chain: Chain, tmp_path: Path) -> Path:
    return Path(shutil.copytree(chain.student, tmp_path / "run"))


RUNS: list[tuple[str, Any]] = [
    ("kind", 3),
    ("config", None),
    ("config", {}),
    ("labels", 3),
    ("labels", [1, 2]),
    ("labels", ["a", "a"]),
    ("labels", ["a"]),
    ("labels", []),
    ("preprocess", {"image": 3}),
    ("thresholds", []),
    ("ranges", {"x": [1]}),
    ("ranges", 3),
    ("ranges", {"x": [2.0, 1.0]}),
    ("ranges", {"x": [0, 1e300]}),
    ("thresholds", {"values": [2.0] * 6, "objective": "micro", "fitted_on": {"split": "dev", "examples": 9}}),
    ("sha256", 3),
    ("format", "3"),
]


@pytest.mark.parametrize(("key", "value"), RUNS)
def test_a_damaged_run_is_one_line(run: Path, key: str, value: Any) -> None:
    tree = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps({**tree, key: value}))
    with pytest.raises(RunError) as caught:
        Checkpoint.load(run)
    assert "\n" not in str(caught.value)
    if key in ("labels", "format") and value != ["a"]:
        with pytest.raises(RunError):
            read_run_labels(run)
    if key != "format":
        assert isinstance(weights_sha256(run), str)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b"[" * 90_000, b'{"format": 3}', b'{"format": NaN}']
)
def test_a_run_json_of_another_form_is_one_line(run: Path, content: bytes) -> None:
    (run / "run.json").write_bytes(content)
    for read in (Checkpoint.load, read_run_labels):
        with pytest.raises(RunError) as caught:
            read(run)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 100),
        ("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
        ("model.safetensors", (2).to_bytes(8, "little") + b"{}"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff"),
        ("text/config.json", b"[]"),
        ("text/config.json", b'{"model_type": "evil", "auto_map": {"AutoConfig": "evil.py"}}'),
        ("image/config.json", b"{"),
    ],
)
def test_a_run_with_other_files_is_one_line(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    tree = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps({**tree, "sha256": sha256_of(run / "model.safetensors")}))
    with pytest.raises(RunError, match=r"damaged|config\.json: ") as caught:
        Checkpoint.load(run)
    assert "\n" not in str(caught.value)


def archive(**changes: Any) -> bytes:
    arrays: dict[str, Any] = {
        "ids": np.array(["1", "2"]),
        "content": np.array(["a", "b"]),
        "labels": np.array(["x"]),
        "logits": np.zeros((2, 1), np.float32),
        "text": np.zeros((2, 3), np.float16),
        "image": np.zeros((2, 3), np.float16),
        "held_out": np.zeros(2, bool),
        "teacher_sha256": np.array("0"),
    }
    buffer = BytesIO()
    np.savez(buffer, **(arrays | changes), allow_pickle=True)
    return buffer.getvalue()


def vast() -> bytes:
    """An array that claims a terabyte."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (500000, 500000), }"
        for name in ("ids", "content", "labels"):
            out.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    return buffer.getvalue()


class Harmful:
    def __reduce__(self) -> Any:
        return sys.exit, ("it was unpickled",)


SOFT = {
    "empty": b"",
    "a pickle": archive(logits=np.array([[Harmful()], [Harmful()]], dtype=object)),
    "one example more": archive(ids=np.array(["1", "2", "3"])),
    "one label more": archive(labels=np.array(["x", "y"])),
    "flat logits": archive(logits=np.zeros(2, np.float32)),
    "flat features": archive(text=np.zeros(2, np.float16)),
    "deep mask": archive(held_out=np.zeros((2, 2), bool)),
    "features not finite": archive(text=np.full((2, 1), np.inf, np.float16)),
    "not finite": archive(logits=np.full((2, 1), np.nan, np.float32)),
    "texts for numbers": archive(logits=np.array([["a"], ["b"]])),
    "a terabyte": vast(),
    "cut": archive()[:-200],
}


@pytest.mark.parametrize("name", SOFT)
def test_damaged_soft_targets_are_refused_and_unpickle_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / "soft_targets.npz"
    path.write_bytes(SOFT[name])
    with pytest.raises(RunError) as caught:
        SoftTargets.read(path)
    assert str(path) in str(caught.value)


def test_soft_targets_with_any_byte_changed_are_read_or_refused(tmp_path: Path) -> None:
    generator, whole = np.random.default_rng(0), archive()
    path = tmp_path / "soft_targets.npz"
    for place in generator.integers(0, len(whole), 400):
        content = bytearray(whole)
        content[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(bytes(content))
        try:
            SoftTargets.read(path)
        except RunError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most are refused, and some bytes do not matter


@pytest.mark.parametrize("key", ["name", "op_type"])
def test_names_in_a_graph_command_no_terminal(copy: Path, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    """They reach it from onnxruntime itself, which is not Python, and through the errors that it raises."""
    model = onnx.load(str(copy / "model.onnx"))
    node = next(node for node in model.graph.node if node.op_type == "Gather")
    if key == "name":  # and it fails when it runs: the embedding has too few rows
        node.name = f"{EVIL}{node.name}"
        table = next(item for item in model.graph.initializer if item.name == node.input[0])
        table.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(table)[:1], table.name))
    else:
        node.op_type = EVIL
    forge(copy, "model.onnx", model.SerializeToString())
    result = CliRunner().invoke(main, ["predict", str(copy), "--text", "WHO DID THIS"])
    assert result.exit_code == 2
    printed = [*capfd.readouterr(), result.output]
    assert any("\\u001b" in text for text in printed)
    assert not [text for text in printed if set(EVIL) & set(text)]
