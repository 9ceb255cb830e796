"""What other toolkits make of the fp32 Bundle in one call. Knows OpenVINO and optimum, no time or memory."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.variants import Variant, parent_of
from distill.bundle import Bundle, Contents, is_bundle, write
from distill.data import Example
from distill.errors import BenchError, BundleError
from distill.files import read_json
from distill.metrics import sigmoid
from distill.preprocess import Batch, Reader
from export.isa import detect

Peer = Literal["openvino", "optimum-int8"]


def make(bundle: Path, peers: Sequence[Peer], folder: Path) -> list[Variant]:
    """The peers, each once; what has to be written for them goes to `folder`, which must outlive them.

    Raises BenchError when there is no fp32 Bundle to make them from, or a package is missing or fails.
    """
    if not peers:
        return []
    parent = fp32_of(bundle)
    return [
        _openvino_variant(parent) if peer == "openvino" else _optimum_variant(parent, folder / peer)
        for peer in dict.fromkeys(peers)
    ]


def fp32_of(bundle: Path) -> Bundle:
    """The Bundle itself when it is fp32, else the fp32 one beside it. Raises BenchError or BundleError."""
    for folder in (bundle, parent_of(bundle)):
        if is_bundle(folder):
            opened = Bundle.open(folder)
            if opened.precision == "fp32":
                return opened
    raise BenchError(
        f"{bundle}: peers are made from the fp32 Bundle and there is none, here or at {parent_of(bundle)}; "
        "run distill export again"
    )


class OpenVinoPredictor:
    """An fp32 Bundle in OpenVINO on the CPU, one example at a time, in the precision that it chooses itself.

    It answers as `export.runtime.Predictor` does, and shares no code with it beyond preprocessing and
    decisions, so that the process that is measured holds no onnxruntime. With 0 threads OpenVINO chooses.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        """Raises BundleError, and BenchError when OpenVINO is missing or cannot compile the model."""
        openvino = _import_openvino()
        self.bundle = Bundle.open(folder)
        self.reader = Reader(self.bundle.preprocess, self.bundle.tokenizer_json)
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        try:
            self.model = openvino.Core().compile_model(self.bundle.model, "CPU", settings)
        except RuntimeError as error:
            raise BenchError(
                f"{self.bundle.model}: OpenVINO {openvino.__version__} cannot compile it ({_reason(error)}); "
                "leave out --peer openvino"
            ) from error

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """float32 (B, L)."""
        result: NDArray[np.float32] = self.model(batch.feed())["logits"]
        return result

    def predict(self, text: str, image: Path | None) -> tuple[str, ...]:
        """The labels decided for. Raises PictureError."""
        return self.bundle.labels.decode(self.bundle.thresholds.apply(self._answer(text, image))[0])

    def probabilities(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """float32 (N, L), in order. Raises PictureError for the first picture that cannot be read."""
        return np.concatenate([self._answer(example.text, example.image) for example in examples])

    def _answer(self, text: str, image: Path | None) -> NDArray[np.float32]:
        return sigmoid(self.logits(self.reader.batch(self.reader.rows([text], [self.reader.picture(image)]))))


def _openvino_variant(parent: Bundle) -> Variant:
    # On a processor with bf16 the plugin computes an fp32 file in bf16 unless it is forbidden: the row says so.
    precision = _import_openvino().Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
    name = f"{parent.kind} OpenVINO ({precision})"
    return Variant(name, "OpenVINO", parent.folder, parent.size_bytes())


def _import_openvino() -> Any:
    # Importing it reports the use to its makers over the network, in a thread that would be timed with the
    # rest, unless the package that does so is missing.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise BenchError("--peer openvino needs the package openvino; pip install 'distill[peers]'") from error
    return openvino


def _optimum_variant(parent: Bundle, folder: Path) -> Variant:
    """A Bundle with the parent's everything around the model that optimum made of the parent's."""
    model = _optimum_quantised(parent, folder / "made")
    contents = Contents(
        model=model,
        kind=parent.kind,
        precision="int8",
        target=detect(),
        tokenizer_json=parent.tokenizer_json,
        labels=parent.labels,
        thresholds=parent.thresholds,
        preprocess=parent.preprocess,
        recipe=read_json(parent.folder / "recipe.json", BundleError),
        figures={},
        golden={},
        card=f"{parent.folder}, quantised by optimum to be measured; not to be shipped.\n",
        run_sha256=parent.sha256,
    )
    made = write(folder / "bundle", contents)
    model.unlink()
    return Variant(f"{made.kind} optimum dynamic int8", "optimum dynamic int8", made.folder, made.size_bytes())


def _optimum_quantised(parent: Bundle, out: Path) -> Path:
    """The file that optimum's one call writes into `out`, with the preset of this machine. Raises BenchError."""
    try:
        from optimum.onnxruntime import ORTQuantizer
        from optimum.onnxruntime.configuration import AutoQuantizationConfig
    except ModuleNotFoundError as error:
        raise BenchError(f"--peer optimum-int8 needs {error.name}; pip install 'distill[train]'") from error
    here = detect()
    if here == "arm64":
        preset = AutoQuantizationConfig.arm64
    elif here == "x86-vnni":
        preset = AutoQuantizationConfig.avx512_vnni
    else:
        preset = AutoQuantizationConfig.avx2
    logging.disable(logging.WARNING)  # that a Bundle has no config.json, and that pixels are uint8
    try:
        ORTQuantizer.from_pretrained(parent.folder, file_name=parent.model.name).quantize(
            save_dir=out, quantization_config=preset(is_static=False, per_channel=False)
        )
    except (ValueError, AssertionError, RuntimeError, LookupError) as error:
        raise BenchError(
            f"{parent.model}: optimum cannot quantise it ({_reason(error)}); leave out --peer optimum-int8"
        ) from error
    finally:
        logging.disable(logging.NOTSET)
    return next(out.glob("*.onnx"))


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()  # the cause stands last
