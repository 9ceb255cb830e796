"""Runtimes beside onnxruntime's CPU: chosen by the manifest or by the user, refused where they cannot, and held to
the same rules for strangers' files."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from chain import BLOCKER, Chain, contents_of, random_batch
from click.testing import CliRunner
from flat_models import Number, litert_file, ort_file
from hostile_bundles import forge

import distill
from distill.cli.main import main
from distill.core.errors import BundleError, InstallError
from distill.core.machine.runtimes import PROVIDERS
from distill.runtime import predictor as predictors
from distill.runtime.bundle import Bundle, write_bundle
from distill.runtime.bundle_files import MANIFEST, bundle_files, find_runtime
from distill.runtime.golden import replay_golden
from distill.runtime.litert.guard import check_litert_file
from distill.runtime.onnx import providers
from distill.runtime.onnx.ort_guard import check_ort_file
from distill.runtime.onnx.session import OnnxModel, open_session
from distill.runtime.opened import RunOptions
from distill.runtime.partial_file import predictor_identity
from distill.runtime.predictor import Predictor
from export import convert

# Not importorskip: it would import openvino with the telemetry that distill.runtime.openvino keeps out.
needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="openvino is not installed: pip install 'distill[openvino]'"
)
MISSING = [name for name in PROVIDERS if providers.FACTS[name].name not in onnxruntime.get_available_providers()]


@pytest.fixture(scope="module")
def openvino_bundle(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fp32 Bundle in OpenVINO's files."""
    folder = tmp_path_factory.mktemp("openvino")
    onnx = Path(shutil.copy(chain.fp32 / "model.onnx", folder))
    xml = convert._to_openvino(onnx)
    write_bundle(folder / "bundle", replace(contents_of(chain.fp32), model=xml, runtime="openvino"))
    return folder / "bundle"


@pytest.fixture
def copy(openvino_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(openvino_bundle, tmp_path / "place" / "copy"))


@pytest.mark.parametrize("provider", MISSING)
def test_a_provider_that_is_not_installed_is_refused_with_what_is_there_and_what_to_install(
    chain: Chain, provider: Any
) -> None:
    with pytest.raises(InstallError) as caught:
        distill.load(chain.int8, provider=provider)
    message = str(caught.value)
    assert message.startswith(f"--provider {provider}: onnxruntime {onnxruntime.__version__} here has cpu")
    assert message.endswith(providers.FACTS[provider].get)
    assert "\n" not in message


@pytest.mark.parametrize("words", [["predict", "--text", "a"], ["verify"], ["serve", "--port", "0"]])
def test_every_command_that_opens_a_bundle_takes_a_provider(chain: Chain, words: list[str]) -> None:
    if "xnnpack" not in MISSING:
        pytest.skip("this onnxruntime has XNNPACK")
    done = CliRunner().invoke(main, [words[0], str(chain.int8), *words[1:], "--provider", "xnnpack"])
    assert done.exit_code == 2
    assert "--provider xnnpack: onnxruntime" in done.output


def test_evaluate_takes_a_provider_and_refuses_it_for_a_training_run(chain: Chain) -> None:
    with pytest.raises(distill.DistillError, match="is a training run; --provider and --runtime are for Bundles"):
        distill.evaluate(chain.student, chain.data, provider="cuda")
    with pytest.raises(InstallError, match="--provider xnnpack"):
        distill.evaluate(chain.int8, chain.data, provider="xnnpack")


class FallenBack:
    """A session for which onnxruntime took the CPU, as it does with a warning when CUDA's libraries are missing."""

    asked: Any = None

    def __init__(self, _: str, __: Any, providers: Any, enable_fallback: int, **___: Any) -> None:
        FallenBack.asked = providers
        assert not enable_fallback  # of onnxruntime's own: at the first failure, and while it runs

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"]


def test_a_provider_that_falls_back_to_the_cpu_is_refused_and_was_asked_for_exact_products(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", FallenBack)
    with pytest.raises(InstallError, match="could not start CUDAExecutionProvider on this machine and would run"):
        open_session(chain.fp32 / "model.onnx", 1, provider="cuda")
    assert FallenBack.asked == [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"]


@needs_openvino
def test_openvino_answers_as_onnxruntime_does_on_any_processor(chain: Chain, openvino_bundle: Path) -> None:
    expected = Predictor.load(chain.fp32, 1)
    for other in (distill.load(chain.fp32, 1, runtime="openvino"), distill.load(openvino_bundle, 1)):
        assert other.runtime == "openvino"
        for rows, tokens in ((1, 1), (1, 7), (5, 32)):
            batch = random_batch(rows, tokens)
            assert np.abs(other.logits(batch) - expected.logits(batch)).max() < 1e-4
        assert other.predict("WHO DID THIS").labels == expected.predict("WHO DID THIS").labels


@needs_openvino
def test_openvino_gives_each_of_several_threads_its_own_answer(openvino_bundle: Path) -> None:
    predictor = Predictor.load(openvino_bundle, 1)
    batches = [random_batch(1 + n % 3, 3 + n) for n in range(12)]
    alone = [predictor.logits(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor.logits, batches * 3))
    assert all(np.array_equal(a, b) for a, b in zip(alone * 3, together, strict=True))


@needs_openvino
def test_a_predictor_keeps_its_runtime_when_it_is_pickled(chain: Chain) -> None:
    predictor = pickle.loads(pickle.dumps(distill.load(chain.fp32, 1, runtime="openvino")))  # noqa: S301
    assert (predictor.runtime, predictor.options.threads) == ("openvino", 1)
    assert replay_golden(predictor).here["OpenVINO"]


@needs_openvino
def test_predict_takes_the_runtime_from_the_manifest_and_imports_no_other_and_no_telemetry(
    openvino_bundle: Path,
) -> None:
    script = BLOCKER + (
        "import socket\n"
        "connected = []\n"
        "socket.socket.connect = lambda self, address: connected.append(address)\n"
        "from distill.cli.main import main\n"
        f"main(['predict', {str(openvino_bundle)!r}, '--text', 'hello'], standalone_mode=False)\n"
        "held = [n for n in ('torch', 'onnxruntime', 'openvino_telemetry') if sys.modules.get(n)]\n"
        "assert (held, connected) == ([], []), (held, connected)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["probabilities"]) == set(Bundle.open(openvino_bundle).labels.names)


@needs_openvino
def test_verify_says_which_runtime_answered(openvino_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "verified.json"
    done = CliRunner().invoke(main, ["verify", str(openvino_bundle), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "OpenVINO" in json.loads(out.read_text())["here"]


def test_a_bundle_names_its_runtime_and_an_older_one_without_is_for_onnxruntime(
    chain: Chain, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(chain.int8, tmp_path / "older"))
    manifest = json.loads((folder / MANIFEST).read_bytes())
    assert manifest.pop("runtime") == "onnxruntime"
    forge(folder, MANIFEST, json.dumps(manifest).encode())
    assert Bundle.open(folder).runtime == "onnxruntime"


@pytest.mark.parametrize("runtime", ["tensorrt", None, 3, ["openvino"], "OpenVINO", "../x"])
def test_a_bundle_of_an_unknown_runtime_is_refused(chain: Chain, tmp_path: Path, runtime: Any) -> None:
    folder = Path(shutil.copytree(chain.int8, tmp_path / "copy"))
    manifest = json.loads((folder / MANIFEST).read_bytes())
    forge(folder, MANIFEST, json.dumps(manifest | {"runtime": runtime}).encode())
    with pytest.raises(BundleError, match=r"is for the runtime .*, and this distill knows onnxruntime, ") as caught:
        Bundle.open(folder)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_names_a_runtime_without_its_files_is_refused(chain: Chain, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(chain.int8, tmp_path / "copy"))
    manifest = json.loads((folder / MANIFEST).read_bytes())
    forge(folder, MANIFEST, json.dumps(manifest | {"runtime": "openvino"}).encode())
    with pytest.raises(BundleError, match=r"model\.xml: missing or not a plain file"):
        Bundle.open(folder)


def test_only_a_bundle_for_onnxruntime_can_be_opened_in_another_runtime(chain: Chain, copy: Path) -> None:
    with pytest.raises(BundleError, match="is made for openvino, which --runtime onnxruntime cannot open"):
        distill.load(copy, runtime="onnxruntime")
    with pytest.raises(BundleError, match="is made for onnxruntime, which --runtime litert cannot open; expected"):
        distill.load(chain.fp32, runtime="litert")
    with pytest.raises(
        BundleError, match="--provider cuda is one of onnxruntime's, and openvino opens this Bundle"
    ):
        distill.load(copy, provider="cuda")


def test_a_run_is_not_resumed_with_what_answers_a_little_otherwise(chain: Chain) -> None:
    bundle = Bundle.open(chain.fp32)
    ways = [RunOptions(), RunOptions(runtime="openvino"), RunOptions(provider="cuda")]
    ways += [RunOptions(batch=4), RunOptions(raw=True), RunOptions(abstain=0.9)]
    assert len({json.dumps(predictor_identity(bundle, way)) for way in ways}) == 6
    assert predictor_identity(bundle, RunOptions(threads=2)) == predictor_identity(bundle, RunOptions())


def test_without_openvino_the_extra_is_named(
    chain: Chain, openvino_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    for folder, runtime in ((openvino_bundle, None), (chain.fp32, "openvino")):
        with pytest.raises(InstallError, match=r"openvino.*; pip install 'distill\[openvino\]'$"):
            distill.load(folder, runtime=runtime)  # type: ignore[arg-type]


@needs_openvino
def test_int8_products_that_would_overflow_are_refused_where_a_runtime_has_no_slower_ones(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictors, "detect_target", lambda: "x86-avx2")
    bundle = replace(Bundle.open(chain.int8), target="x86-vnni")
    with pytest.raises(
        BundleError, match="would overflow in openvino on this machine; run distill export --target"
    ):
        Predictor(bundle, 1, RunOptions(runtime="openvino"))


LAYER = '<layer id="0" name="x" type="{}" version="{}">{}</layer>'
HOSTILE = {
    "a document type": '<!DOCTYPE net [<!ENTITY a "b">]><net name="x">&a;</net>',
    "a million laughs": '<!DOCTYPE n [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><net>&b;</net>',
    "an outer entity": '<!DOCTYPE n [<!ENTITY a SYSTEM "file:///etc/passwd">]><net>&a;</net>',
    "an extension's layer": f"<net><layers>{LAYER.format('Add', 'evil', '')}</layers></net>",
    "a loop": f"<net><layers>{LAYER.format('Loop', 'opset5', '<body/>')}</layers></net>",
    "state": f"<net><layers>{LAYER.format('ReadValue', 'opset6', '')}</layers></net>",
    "depth": "<net>" + "<a>" * 40 + "</a>" * 40 + "</net>",
    "another root": "<html/>",
    "half a file": "<net><layers>",
    "nothing": "",
    "an instruction": "<net><?php evil ?></net>",
    "no text": "\x00\x01",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_openvino_file_that_could_do_more_than_compute_is_refused(copy: Path, name: str) -> None:
    forge(copy, "model.xml", HOSTILE[name].encode())
    with pytest.raises(BundleError, match=r"model\.xml: cannot be read as an OpenVINO file: ") as caught:
        Bundle.open(copy)
    assert "\n" not in str(caught.value)


def test_an_openvino_file_of_any_size_is_not_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distill.runtime import bundle_files

    monkeypatch.setitem(bundle_files.LIMITS, "model.xml", 100)
    with pytest.raises(BundleError, match="has more than 100 bytes, which no such file of a Bundle has"):
        Bundle.open(copy)


def test_weights_outside_of_the_bundle_are_refused(copy: Path) -> None:
    (copy / "model.bin").rename(copy.parent / "model.bin")
    (copy / "model.bin").symlink_to(copy.parent / "model.bin")
    with pytest.raises(BundleError, match=r"model\.bin: missing or not a plain file"):
        Bundle.open(copy)


@needs_openvino
@pytest.mark.parametrize("size", [0, 100])
def test_weights_that_are_cut_off_are_one_line(copy: Path, size: int) -> None:
    forge(copy, "model.bin", (copy / "model.bin").read_bytes()[:size])
    with pytest.raises(BundleError, match=r"model\.xml: OpenVINO .* cannot open it: ") as caught:
        Predictor.load(copy, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_either_file_that_changes_after_the_check_is_noticed(copy: Path, name: str) -> None:
    bundle = Bundle.open(copy)
    (copy / name).write_bytes((copy / name).read_bytes() + b" ")
    with pytest.raises(BundleError, match="changed since it was checked"):
        bundle.refuse_if_changed()


def test_either_file_decides_what_a_bundle_is(openvino_bundle: Path, copy: Path) -> None:
    content = bytearray((copy / "model.bin").read_bytes())
    content[-1] ^= 1
    forge(copy, "model.bin", bytes(content))
    assert Bundle.open(copy).identity() != Bundle.open(openvino_bundle).identity()


def test_the_runtime_of_a_listing_is_found_by_its_files() -> None:
    assert find_runtime([*bundle_files("openvino"), MANIFEST, "other"]) == "openvino"
    assert find_runtime(bundle_files("litert")) == "litert"
    assert find_runtime([name for name in bundle_files("openvino") if name != "model.bin"]) is None


EXTERNAL = {6: Number("Int64", 0)}
ORT = {
    "foreign operators": ort_file({2: b"evil"}),
    "a compiled model": ort_file({5: b"EPContext", 2: b"com.microsoft"}),
    "a graph inside": ort_file({10: [{7: {2: []}}]}),
    "graphs inside": ort_file({10: [{12: [{}]}]}),
    "sparse weights": ort_file(graph={7: [{}]}),
    "optimisations": ort_file(graph={8: {}}),
    "an external weight": ort_file(graph={0: [EXTERNAL]}),
    "an external constant": ort_file({10: [{6: EXTERNAL}]}),
    "a file cut off": ort_file()[:-40],
    "an offset outside": b"\xff\xff\xff\x7fORTM" + bytes(8),
    "another file": litert_file(),
    "nothing": b"",
}
LITERT = {
    "foreign operators": litert_file({1: [{1: b"evil", 3: Number("Int32", 32)}]}),
    "a loop": litert_file(code=119),
    "another set's loop": litert_file(code=200),
    "a code of tomorrow": litert_file(code=4000),
    "an old file's loop": litert_file({1: [{0: Number("Int8", 119)}]}),
    "state": litert_file(tensor={5: Number("Bool", 1)}),
    "other files": litert_file({8: [{0: b"../secret"}]}),
    "an external weight": litert_file(tensor={10: Number("Uint32", 1)}),
    "weights behind the end": litert_file({4: [{1: Number("Uint64", 4096), 2: Number("Uint64", 8)}]}),
    "two graphs": litert_file({2: [{}, {}]}),
    "a file cut off": litert_file()[:-60],
    "another file": ort_file(),
    "nothing": b"",
}


@pytest.mark.parametrize("name", ORT)
def test_an_ort_file_that_could_do_more_than_compute_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.ort").write_bytes(ORT[name])
    with pytest.raises(BundleError, match="cannot be read as an ORT file: ") as caught:
        check_ort_file(tmp_path / "model.ort")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LITERT)
def test_a_litert_file_that_could_do_more_than_compute_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.tflite").write_bytes(LITERT[name])
    with pytest.raises(BundleError, match="cannot be read as a LiteRT file: ") as caught:
        check_litert_file(tmp_path / "model.tflite")
    assert "\n" not in str(caught.value)


def test_the_plain_files_that_the_hostile_ones_are_made_of_pass(tmp_path: Path) -> None:
    (tmp_path / "model.ort").write_bytes(ort_file())
    (tmp_path / "model.tflite").write_bytes(litert_file())
    check_ort_file(tmp_path / "model.ort")
    check_litert_file(tmp_path / "model.tflite")


TOKENS = 32


class FakeInterpreter:
    """LiteRT's interpreter in front of onnxruntime: fixed shapes, ids of 32 bits, one example at a time."""

    model: Path

    def __init__(self, _: str, num_threads: int) -> None:
        self.opened, self.fed, self.threads = OnnxModel(self.model, num_threads), {}, num_threads

    def allocate_tensors(self) -> None: ...

    def get_input_details(self) -> list[dict[str, Any]]:
        shapes = {
            "input_ids": (1, TOKENS),
            "attention_mask": (1, TOKENS),
            "pixels": (1, 32, 32, 3),
            "present": (1, 2),
        }
        dtypes = (np.int32, np.int32, np.uint8, np.float32)
        return [
            {"index": index, "shape": np.array(shape), "dtype": dtype}
            for index, (shape, dtype) in enumerate(zip(shapes.values(), dtypes, strict=True))
        ]

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"index": 9, "shape": np.array((1, 6)), "dtype": np.float32}]

    def set_tensor(self, index: int, value: Any) -> None:
        details = self.get_input_details()[index]
        assert (value.dtype, value.shape) == (details["dtype"], tuple(details["shape"]))
        self.fed[index] = value

    def invoke(self) -> None:
        ids, mask, pixels, present = (self.fed[index] for index in range(4))
        feed = {"input_ids": ids.astype(np.int64), "attention_mask": mask.astype(np.int64)}
        self.logits = self.opened.session.run(["logits"], feed | {"pixels": pixels, "present": present})[0]

    def get_tensor(self, _: int) -> Any:
        return self.logits


def test_a_bundle_for_litert_is_asked_row_by_row_padded_and_masked(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.tflite").write_bytes(litert_file())
    contents = replace(contents_of(chain.fp32), model=tmp_path / "model.tflite", runtime="litert")
    write_bundle(tmp_path / "bundle", contents)
    monkeypatch.setattr(FakeInterpreter, "model", chain.fp32 / "model.onnx", raising=False)
    module = types.ModuleType("ai_edge_litert.interpreter")
    module.Interpreter = FakeInterpreter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ai_edge_litert", types.ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    lite, onnx = Predictor.load(tmp_path / "bundle", 1), Predictor.load(chain.fp32, 1)
    batch = random_batch(3, 9)
    assert np.abs(lite.logits(batch) - onnx.logits(batch)).max() < 1e-4
    with pytest.raises(BundleError, match="LiteRT cannot run it: a text has 40 tokens, and the file takes 32"):
        lite.logits(random_batch(1, 40))
    assert replay_golden(lite).passed


def test_a_bundle_for_litert_without_it_names_the_extra(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.tflite").write_bytes(litert_file())
    contents = replace(contents_of(chain.fp32), model=tmp_path / "model.tflite", runtime="litert")
    write_bundle(tmp_path / "bundle", contents)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(InstallError, match=r"^a Bundle for litert needs .*; pip install 'distill\[litert\]'$"):
        Predictor.load(tmp_path / "bundle")
