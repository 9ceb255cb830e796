"""What other toolkits make of the fp32 Bundle and of its run, against onnxruntime's and torch's fp32 answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import torch
from chain import Chain, read, reference_logits
from click.testing import CliRunner
from torch import nn

from bench import run
from bench.measure.interleave import Plan
from bench.peers.make import Peer, fp32_of, make
from bench.peers.openvino import OpenVinoPredictor
from bench.peers.pytorch import TorchPredictor
from bench.peers.run import run_with_peers
from bench.quality.eval_set import EvalSet
from bench.report import types as figures
from bench.runtimes.open_model import answer
from bench.runtimes.variants import Variant
from distill.cli.main import main
from distill.core.errors import BenchError, InstallError
from distill.model.checkpoint import Checkpoint
from distill.preprocess.inputs import ModelInputs, Preprocessor
from distill.runtime.bundle import Bundle, Contents
from distill.runtime.openvino.model import OpenVinoModel
from export.embed import embed_contents

# Not importorskip: it would import openvino with the telemetry that distill.runtime.openvino keeps out.
needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None, reason="openvino is not installed: pip install 'distill[peers]'"
)
needs_nncf = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("nncf") is None,
    reason="openvino or nncf is not installed: pip install 'distill[peers]'",
)
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)

LENGTHS = "short", "a text that is quite a bit longer than the other one is"


@dataclass(frozen=True)
class Quantised:
    """The peer that NNCF makes, and what its process printed and did."""

    variant: Variant
    stdout: str
    stderr: str
    connected: list[str]
    telemetry: bool


@pytest.fixture(scope="module")
def nncf_int8(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Quantised:
    """The peer, made once, in a process of its own: NNCF reports nothing while pytest is imported."""
    folder = tmp_path_factory.mktemp("nncf")
    code = (
        "import json, socket, sys; from pathlib import Path\n"
        "connected = []\n"
        "socket.socket.connect = lambda self, address: connected.append(str(address))\n"
        "socket.getaddrinfo = lambda *given, **named: connected.append(str(given)) or []\n"
        "from bench.peers.make import make; from distill.data.dataset import read_splits\n"
        "bundle, data, out = map(Path, sys.argv[1:])\n"
        "(peer,) = make(bundle, ['openvino-int8'], out, [], read_splits(data).train[:16])\n"
        "said = {'name': peer.name, 'size': peer.size_bytes, 'model': str(peer.model)}\n"
        "said |= {'folder': str(peer.folder), 'connected': connected}\n"
        "said |= {'telemetry': bool(sys.modules.get('openvino_telemetry'))}\n"
        "(out / 'said.json').write_text(json.dumps(said))\n"
    )
    command = [sys.executable, "-c", code, str(chain.int8), str(chain.data), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads((folder / "said.json").read_text())
    file = Path(said["model"])
    variant = Variant(said["name"], "student", "OpenVINO NNCF int8", Path(said["folder"]), said["size"], file)
    return Quantised(variant, done.stdout, done.stderr, said["connected"], said["telemetry"])


@pytest.fixture(scope="module")
def compiled(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TorchPredictor, int]]:
    """A compiled run, and how many graphs opening it compiled: the teacher, which compiles in half the time."""
    from torch._dynamo.utils import counters

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        before = counters["stats"]["unique_graphs"]
        predictor = TorchPredictor(chain.teacher, 1, "torch.compile")
        yield predictor, counters["stats"]["unique_graphs"] - before


def of_two_lengths(chain: Chain) -> list[ModelInputs]:
    bundle = Bundle.open(chain.fp32)
    preprocessor = Preprocessor(bundle.preprocess, bundle.tokenizer_json)
    image = preprocessor.image(chain.splits.test[0].image)
    return [preprocessor.batch(preprocessor.rows([text], [image])) for text in LENGTHS]


def modules_that_run(predictor: TorchPredictor, batch: ModelInputs) -> set[str]:
    """Folder and name of the files whose `forward` Python executes."""
    seen = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == "forward":
            seen.add("/".join(Path(frame.f_code.co_filename).parts[-2:]))

    sys.setprofile(watch)
    try:
        predictor.logits(batch)
    finally:
        sys.setprofile(None)
    return seen


@needs_openvino
def test_openvino_logits_agree_with_onnxruntime(chain: Chain) -> None:
    """Within 1e-4 in f32; in the precision it chooses itself, as torch does under bf16 autocast: 2 % of the largest
    logit in the mean on this barely trained network, 15 % at most."""
    predictor = OpenVinoPredictor(chain.fp32, threads=1)
    batch = read(chain, 24)
    expected = reference_logits(chain, batch)
    assert np.abs(predictor.logits(batch) - expected).mean() < 0.05 * np.abs(expected).max()
    predictor.model = OpenVinoModel(chain.fp32 / "model.onnx", 1)
    assert np.abs(predictor.logits(batch) - expected).max() < 1e-4


@needs_openvino
def test_openvino_is_given_the_threads_and_one_stream_for_latency(chain: Chain) -> None:
    model = OpenVinoPredictor(chain.fp32, threads=1).model.compiled
    hints = ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT")
    assert [str(model.get_property(hint)).split(".")[-1] for hint in hints] == ["1", "1", "LATENCY"]


@needs_openvino
def test_openvino_answers_many_by_its_throughput_hint_as_it_answers_each_alone(chain: Chain) -> None:
    predictor = OpenVinoPredictor(chain.fp32, threads=2)
    some = [*chain.splits.test[:7], chain.splits.test[0]]
    alone = [answer(predictor, [example.text], [example.image])[0] for example in some]
    many = predictor.many(2)
    assert re.fullmatch(r"throughput hint: \d streams, \d requests at once; 2 workers prepare posts", many.how)
    for batch in (1, 3):
        assert many.answer(some, batch) == alone


@needs_openvino
def test_openvinos_row_says_which_precision_it_computes_in_and_where_it_stands(
    chain: Chain, tmp_path: Path
) -> None:
    (peer,) = make(chain.fp32, ["openvino"], tmp_path, [], [])
    compiled = OpenVinoPredictor(chain.fp32, 1).model.compiled
    computed_in = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    assert peer.name == f"student OpenVINO ({computed_in})"
    assert peer.size_bytes == sum(path.stat().st_size for path in chain.fp32.iterdir())
    assert peer.model is None


@needs_openvino
def test_a_file_that_openvino_cannot_compile_is_one_line_with_the_next_step(chain: Chain, tmp_path: Path) -> None:
    broken = tmp_path / "model.xml"
    broken.write_text("<net/>")
    with pytest.raises(BenchError, match=r"^.*model\.xml: OpenVINO .* leave out --peer openvino-int8$"):
        OpenVinoPredictor(chain.fp32, 1, broken)


@needs_openvino
def test_the_process_that_times_openvino_holds_neither_torch_nor_onnxruntime_nor_its_telemetry(
    chain: Chain,
) -> None:
    code = (
        "import sys; from pathlib import Path; from bench.runtimes.open_model import answer; "
        "from bench.peers.openvino import OpenVinoPredictor; "
        "served = OpenVinoPredictor(Path(sys.argv[1]), 1); print(len(answer(served, ['a text'], [None]))); "
        "print(sorted(name for name in ('torch', 'onnxruntime', 'openvino_telemetry') if sys.modules.get(name)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(chain.fp32)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1", "[]"]


@needs_openvino
def test_openvinos_profile_counts_all_that_it_ran_and_gives_each_tower_its_own(chain: Chain) -> None:
    """A longer text takes more of the time: that is the text tower's."""
    predictor = OpenVinoPredictor(chain.fp32, 1)
    preprocessor = predictor.preprocessor
    image = preprocessor.image(chain.splits.test[0].image)
    limit = predictor.bundle.preprocess.text.max_tokens
    short, long = (preprocessor.batch(preprocessor.rows([text], [image])) for text in ("a", "a word " * limit))
    shares = [predictor.towers(batch) for batch in (short, long)]
    for share in shares:
        assert share is not None
        assert list(share) == ["text", "image", "head"]
        assert sum(share.values()) == pytest.approx(1)
        assert min(share.values()) > 0
    assert shares[0] is not None
    assert shares[1] is not None
    assert shares[1]["text"] > shares[0]["text"]


@needs_nncf
def test_nncfs_file_really_holds_eight_bit_weights_and_quantised_activations(
    chain: Chain, nncf_int8: Quantised
) -> None:
    assert nncf_int8.variant.model is not None
    layers = ElementTree.parse(nncf_int8.variant.model).getroot().findall("layers/layer")
    kinds = Counter(layer.get("type") for layer in layers)
    stored: Counter[str] = Counter()
    for layer in layers:
        data = layer.find("data")
        if layer.get("type") == "Const" and data is not None:
            stored[str(data.get("element_type"))] += int(data.get("size", 0))
    assert kinds["FakeQuantize"] > 0
    assert stored["i8"] + stored["u8"] > stored["f32"] > 0
    weights = sum(4 * np.prod(item.dims) for item in onnx.load(chain.fp32 / "model.onnx").graph.initializer)
    assert sum(stored.values()) < 0.5 * weights


@needs_nncf
def test_nncfs_logits_are_near_fp32s_and_not_the_same(chain: Chain, nncf_int8: Quantised) -> None:
    predictor = OpenVinoPredictor(nncf_int8.variant.folder, 1, nncf_int8.variant.model)
    batch = read(chain, 24)
    expected = reference_logits(chain, batch)
    assert 0 < np.abs(predictor.logits(batch) - expected).mean() < 0.2 * np.abs(expected).max()
    assert predictor.thresholds == Bundle.open(chain.fp32).thresholds
    shares = predictor.towers(batch)
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["text"] > 0


@needs_nncf
def test_nncf_prints_nothing_and_reaches_for_no_network(chain: Chain, nncf_int8: Quantised) -> None:
    assert nncf_int8.stdout == ""
    assert nncf_int8.stderr.splitlines() == ["NNCF quantises the student with 16 examples"]
    assert nncf_int8.connected == []
    assert not nncf_int8.telemetry


@needs_nncf
def test_nncfs_size_is_its_two_files_and_the_bundles_others(chain: Chain, nncf_int8: Quantised) -> None:
    variant = nncf_int8.variant
    assert variant.name == "student OpenVINO NNCF int8"
    assert variant.model is not None
    others = [path for path in chain.fp32.iterdir() if path.name != "model.onnx"]
    files = [*others, *variant.model.parent.glob("model.*")]
    assert sorted(path.suffix for path in files[len(others) :]) == [".bin", ".xml"]
    assert variant.size_bytes == sum(path.stat().st_size for path in files)


@needs_nncf
def test_nncf_without_training_examples_is_refused(chain: Chain, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--peer openvino-int8 needs training examples"):
        make(chain.fp32, ["openvino-int8"], tmp_path, [], [])


def test_eager_torch_answers_as_the_checkpoint_does(chain: Chain, checkpoint: Checkpoint) -> None:
    served, batch = TorchPredictor(chain.student, 1, "torch"), read(chain, 24)
    assert np.array_equal(served.logits(batch), checkpoint.classifier.batch_logits(batch))
    assert served.thresholds == checkpoint.thresholds
    assert served.labels == checkpoint.classifier.labels


def test_torch_int8_replaces_every_linear_layer_and_answers_nearly_as_eager_does(
    chain: Chain, checkpoint: Checkpoint
) -> None:
    served, batch = TorchPredictor(chain.student, 1, "torch dynamic int8"), read(chain, 24)
    linear = [name for name, module in checkpoint.classifier.network.named_modules() if type(module) is nn.Linear]
    made = dict(served.network.named_modules())
    assert len(linear) > 4
    for name in linear:
        assert type(made[name]) is torch.ao.nn.quantized.dynamic.Linear
        assert made[name].weight().dtype is torch.qint8
    expected = checkpoint.classifier.batch_logits(batch)
    assert 0 < np.abs(served.logits(batch) - expected).mean() < 0.2 * np.abs(expected).max()


def test_torch_int8s_size_is_its_saved_weights_and_the_runs_other_files(chain: Chain, tmp_path: Path) -> None:
    (peer,) = make(chain.int8, ["torch-int8"], tmp_path, [chain.student], [])
    saved = tmp_path / "weights.pt"
    torch.save(TorchPredictor(chain.student, 1, "torch dynamic int8").network.state_dict(), saved)
    others = ["tokenizer.json", "text/config.json", "image/config.json", "run.json"]
    sizes = [path.stat().st_size for path in (chain.student / name for name in others) if path.is_file()]
    assert abs(peer.size_bytes - sum(sizes) - saved.stat().st_size) < 4096  # an archive holds its own name
    assert peer.size_bytes < sum(sizes) + (chain.student / "model.safetensors").stat().st_size


@pytest.mark.parametrize("runtime", ["torch", "torch dynamic int8"])
def test_torchs_towers_are_shares_and_follow_a_tower_that_is_slow(chain: Chain, runtime: Any) -> None:
    served, batch = TorchPredictor(chain.student, 1, runtime), read(chain, 1)
    before = served.logits(batch)
    shares = served.towers(batch)
    assert shares is not None
    assert list(shares) == ["text", "image", "head"]
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) > 0
    for tower in ("text", "image"):
        hook = getattr(served.network, tower).backbone.register_forward_hook(lambda *_: time.sleep(0.1))
        slow = served.towers(batch)
        hook.remove()
        assert slow is not None
        assert slow[tower] > 0.7
    assert np.array_equal(served.logits(batch), before)
    assert not served.network.text._forward_hooks


@pytest.mark.slow
@needs_compiler
def test_torch_compile_answers_as_eager_does_for_two_lengths_without_recompiling(
    chain: Chain, compiled: tuple[TorchPredictor, int]
) -> None:
    served, graphs = compiled
    assert graphs == 1
    eager = Checkpoint.load(chain.teacher).classifier
    batches = of_two_lengths(chain)
    assert batches[0].input_ids.shape != batches[1].input_ids.shape
    with torch.compiler.set_stance("fail_on_recompile"):
        for batch in batches:
            expected = eager.batch_logits(batch)
            assert np.abs(served.logits(batch) - expected).max() < 1e-4
    assert served.towers(batches[0]) is None


@pytest.mark.slow
@needs_compiler
def test_torch_compile_really_runs_compiled_code(chain: Chain, compiled: tuple[TorchPredictor, int]) -> None:
    """Python executes no encoder's forward; in eager mode it does."""
    batch = of_two_lengths(chain)[1]
    eager = TorchPredictor(chain.teacher, 1, "torch")
    assert "encoders/image.py" in modules_that_run(eager, batch)
    assert "encoders/image.py" not in modules_that_run(compiled[0], batch)


@pytest.mark.slow
@needs_compiler
def test_torch_compile_starts_no_processes_that_would_run_beside_it(compiled: tuple[TorchPredictor, int]) -> None:
    from torch._inductor.async_compile import AsyncCompile

    assert AsyncCompile.process_pool.cache_info().currsize == 0


def test_torch_compile_without_a_compiler_is_one_line_with_the_next_step(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", ("/nowhere/g++",))
    torch._dynamo.reset()  # what an earlier test compiled would do
    with pytest.raises(BenchError) as caught:
        TorchPredictor(chain.teacher, 1, "torch.compile")
    message = str(caught.value)
    assert "cannot compile the network (InvalidCxxCompiler: No working C++ compiler found" in message
    assert message.endswith("install one, or leave out --peer torch-compile")
    assert "\n" not in message


def test_torch_compile_that_leaves_everything_to_eager_is_refused(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does, without a word, where TORCHDYNAMO_DISABLE is set."""
    from torch._dynamo.utils import counters

    monkeypatch.setitem(counters, "stats", Counter())
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    with pytest.raises(BenchError, match="compiled nothing; unset TORCH_COMPILE_DISABLE and TORCHDYNAMO_DISABLE"):
        TorchPredictor(chain.student, 1, "torch.compile")


def test_a_torch_without_dynamic_quantisation_is_one_line_with_the_next_step(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.ao.quantization", None)
    with pytest.raises(BenchError, match=r"^PyTorch .* cannot quantise .* leave out --peer torch-int8$"):
        TorchPredictor(chain.student, 1, "torch dynamic int8")


def test_torchs_peers_are_made_from_the_run_that_the_bundle_came_from(chain: Chain, tmp_path: Path) -> None:
    peers = make(chain.int8, ["torch-compile", "torch-int8"], tmp_path, [chain.teacher, chain.student], [])
    assert [peer.folder for peer in peers] == [chain.student, chain.student]
    assert [peer.name for peer in peers] == ["student torch.compile", "student PyTorch dynamic int8"]
    assert [peer.runtime for peer in peers] == ["torch.compile", "torch dynamic int8"]


def test_torchs_peers_are_refused_without_that_run(chain: Chain, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run = json.loads((chain.student / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(run | {"sha256": "0" * 64}))
    needs = "--peer torch-int8 needs the training run of {}; give it with --against RUN".format
    for against in ([], [chain.teacher], [chain.fp32], [other]):
        with pytest.raises(BenchError) as caught:
            make(chain.int8, ["torch-int8"], tmp_path, against, [])
        assert str(caught.value) == needs(chain.int8)


def test_the_run_of_a_bundle_in_one_file_is_found_too(chain: Chain, checkpoint: Checkpoint, tmp_path: Path) -> None:
    opened = Bundle.open(chain.fp32)
    shared = {name: getattr(opened, name) for name in ("model", "kind", "precision", "target", "tokenizer_json")}
    shared |= {name: getattr(opened, name) for name in ("labels", "thresholds", "preprocess", "figures", "golden")}
    contents = Contents(**shared, recipe={}, card="", run_sha256=checkpoint.sha256)
    embed_contents(opened.model, contents, tmp_path / "alone.onnx")
    (peer,) = make(tmp_path / "alone.onnx", ["torch-compile"], tmp_path, [chain.student], [])
    assert peer.folder == chain.student


def test_peers_are_made_from_the_parent_of_an_int8_bundle_and_from_an_fp32_one_itself(
    chain: Chain, tmp_path: Path
) -> None:
    assert fp32_of(chain.int8).folder == fp32_of(chain.fp32).folder == chain.fp32
    alone = tmp_path / "alone"
    alone.symlink_to(chain.int8)
    with pytest.raises(BenchError, match=r"alone: peers are made from the fp32 Bundle .* run distill export again"):
        make(alone, ["torch-int8"], tmp_path, [], [])


@pytest.mark.parametrize(
    ("peer", "package", "extra"),
    [
        ("openvino", "openvino", "peers"),
        ("openvino-int8", "openvino", "peers"),
        ("openvino-int8", "nncf", "peers"),
        ("optimum-int8", "optimum", "optimum"),
    ],
)
def test_a_missing_package_is_one_line_with_the_next_step(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peer: Peer, package: str, extra: str
) -> None:
    if package == "nncf" and find_spec("openvino") is None:
        pytest.skip("openvino is missed first")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InstallError) as caught:
        make(chain.int8, [peer], tmp_path, [], chain.splits.train)
    message = str(caught.value)
    assert f"--peer {peer} needs" in message
    assert package in message
    assert message.endswith(f"pip install 'distill[{extra}]'")
    assert "\n" not in message


@needs_openvino
def test_the_report_holds_the_peers_beside_the_rest_and_the_json_their_figures(
    chain: Chain, tmp_path: Path
) -> None:
    peers: list[Peer] = ["openvino", "openvino"]
    eval_set, plan = EvalSet.from_splits(chain.splits, "test"), Plan((1,), (1,), 20, 1)
    made = run_with_peers(chain.int8, [], peers, chain.splits.train, eval_set, plan)
    runtimes = [row.runtime for row in made.rows]
    assert runtimes == ["onnxruntime", "OpenVINO", "onnxruntime"]
    out, table, *_ = run.write(made, tmp_path / "bench.json")
    for row in figures.read(out).rows:
        assert row.timings[0].calls == 20
        assert row.cold.total_ms > row.cold.open_ms > 0
        assert not row.memory.torch_loaded
        assert f"| {row.name} |" in table.read_text(encoding="utf-8")
        assert {stage.name for stage in row.stages} >= {"decode", "text", "image", "head", "decide"}
    assert made.conditions.packages["openvino"]


def test_what_cannot_run_beside_this_transformers_is_refused_in_one_line_before_the_data_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "optimum" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "quantization.py").write_text("from transformers import what_version_4_had", encoding="utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "optimum"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["bench", str(tmp_path / "no-bundle"), "--data", str(tmp_path / "no-data"), "--peer", "optimum-int8"]
    failed = CliRunner().invoke(main, words)
    assert failed.exit_code == 2
    (line,) = failed.output.splitlines()
    assert line.startswith(
        "error: --peer optimum-int8 needs optimum, which cannot be imported (cannot import name "
    )
    assert line.endswith("; pip install 'distill[optimum]'")
