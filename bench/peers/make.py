"""Peers: what other toolkits make in one call of the fp32 Bundle or of its run. OpenVINO, NNCF and optimum take the
Bundle; torch quantises or compiles the run."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from bench.runtimes.variants import Variant, fp32_path, variant_from_path
from distill.core.errors import BenchError, BundleError, ExportError
from distill.core.extras import require
from distill.core.machine.cpu import detect_target
from distill.core.output.quiet import quiet
from distill.core.output.terminal import note
from distill.core.storage.files import read_json
from distill.data.dataset import Example
from distill.runtime.bundle import PREFIX, Bundle, Contents, is_bundle, write_bundle
from distill.runtime.bundle_files import MANIFEST
from distill.runtime.onnx.metadata import read_metadata
from distill.runtime.openvino.package import import_openvino, last_line

Peer = Literal["openvino", "openvino-int8", "optimum-int8", "torch-int8", "torch-compile"]
OF_THE_RUN: tuple[Peer, ...] = ("torch-int8", "torch-compile")  # the others are made of the Bundle
CALIBRATION = 128  # examples that NNCF sees


def make(
    bundle: Path, peers: Sequence[Peer], folder: Path, against: Sequence[Path], calibration: Sequence[Example]
) -> list[Variant]:
    """The peers, each once; what has to be written for them goes to `folder`, which must outlive them.

    `calibration` are training examples; torch's peers are made from the Bundle's run, which has to be in `against`.
    Raises BenchError when there is no fp32 Bundle or run to make them from, or a package is missing or fails.
    """
    if not peers:
        return []
    require_packages(peers)
    parent = fp32_of(bundle)
    runs = {peer: run_of(parent, peer, bundle, against) for peer in peers if peer in OF_THE_RUN}

    def variant(peer: Peer) -> Variant:
        if peer == "openvino":
            return _openvino_variant(parent)
        if peer == "openvino-int8":
            return _nncf_variant(parent, calibration, folder / peer)
        if peer == "optimum-int8":
            return _optimum_variant(parent, folder / peer)
        return _torch_variant(runs[peer], peer)

    return [variant(peer) for peer in dict.fromkeys(peers)]


def require_packages(peers: Sequence[Peer]) -> None:
    """Import what the peers need, before anything slow. Raises InstallError."""
    for peer in peers:
        if peer in OF_THE_RUN:
            require("torch", f"--peer {peer}", "train")
        elif peer == "optimum-int8":
            _import_optimum("quantization")
        else:
            import_openvino(f"--peer {peer}", "peers")
            if peer == "openvino-int8":
                _import_nncf()


def fp32_of(bundle: Path) -> Bundle:
    """The Bundle itself when it is fp32, else the fp32 one beside it. Raises BenchError or BundleError."""
    for folder in (bundle, fp32_path(bundle)):
        if is_bundle(folder):
            opened = Bundle.open(folder)
            if opened.precision == "fp32":
                return opened
    raise BenchError(
        f"{bundle}: peers are made from the fp32 Bundle and there is none, here or at {fp32_path(bundle)}; "
        "run distill export again"
    )


def run_of(parent: Bundle, peer: Peer, bundle: Path, against: Sequence[Path]) -> Path:
    """The run in `against` whose weights the Bundle was exported from. Raises BenchError when it is not there."""
    from distill.data.run_folder import is_run, weights_sha256

    wanted = _run_sha256(parent)
    for folder in against:
        if is_run(folder) and weights_sha256(folder) == wanted:
            return folder
    raise BenchError(f"--peer {peer} needs the training run of {bundle}; give it with --against RUN")


def _run_sha256(bundle: Bundle) -> str:
    """That of the weights it was exported from, as its manifest says."""
    if bundle.folder.is_file():
        manifest = json.loads(read_metadata(bundle.folder).entries[f"{PREFIX}manifest"])
    else:
        manifest = read_json(bundle.folder / MANIFEST, BundleError)
    return str(manifest["run_sha256"])


def _openvino_variant(parent: Bundle) -> Variant:
    # On a processor with bf16 the plugin computes an fp32 file in bf16 unless it is forbidden: the row says so.
    precision = (
        import_openvino("--peer openvino", "peers")
        .Core()
        .get_property("CPU", "INFERENCE_PRECISION_HINT")
        .get_type_name()
    )
    name = f"{parent.kind} OpenVINO ({precision})"
    return Variant(name, parent.kind, "OpenVINO", parent.folder, parent.size_bytes())


def _nncf_variant(parent: Bundle, calibration: Sequence[Example], folder: Path) -> Variant:
    """The parent with the OpenVINO file that NNCF makes of its model, in the place of it."""
    file = _nncf_quantised(parent, calibration[:CALIBRATION], folder)
    size = parent.size_bytes() - parent.model.stat().st_size
    size += file.stat().st_size + file.with_suffix(".bin").stat().st_size
    return Variant(
        f"{parent.kind} OpenVINO NNCF int8", parent.kind, "OpenVINO NNCF int8", parent.folder, size, file
    )


def _nncf_quantised(parent: Bundle, calibration: Sequence[Example], folder: Path) -> Path:
    """The .xml that NNCF's one call leads to, weights beside it. Raises BenchError and InstallError."""
    import_openvino("--peer openvino-int8", "peers")
    if not calibration:
        raise BenchError("--peer openvino-int8 needs training examples to calibrate with; give --data with some")
    from export.quantize.nncf import quantize_with_nncf

    preprocessor = parent.preprocessor()
    batches = [
        preprocessor.batch(preprocessor.rows([example.text], [preprocessor.image(example.image)]))
        for example in calibration
    ]
    note(f"NNCF quantises the {parent.kind} with {len(calibration)} examples")
    file = folder / "model.xml"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        quantize_with_nncf(parent.model, file, batches, "--peer openvino-int8")
    except ExportError as error:
        raise BenchError(str(error)) from error
    return file


def _import_nncf() -> Any:
    with quiet():
        return require("nncf", "--peer openvino-int8")


def _import_optimum(module: str) -> Any:
    """A module that defines what is used of it: the package's own names are looked up only when they are used, and
    fail then if transformers is too new."""
    with quiet():
        return require(f"optimum.onnxruntime.{module}", "--peer optimum-int8")


def _torch_variant(run: Path, peer: Peer) -> Variant:
    """The run, which is quantised or compiled when it is opened: neither can be kept on disk as it is."""
    variant = variant_from_path(run)
    if peer == "torch-compile":
        # The code that is compiled is not counted: it is made anew on each machine.
        return replace(variant, name=f"{variant.kind} torch.compile", runtime="torch.compile")
    import torch

    from bench.peers.pytorch import quantised
    from distill.model.checkpoint import Checkpoint

    # Its weights as torch.save would write them, and the run's other files.
    saved = io.BytesIO()
    torch.save(quantised(Checkpoint.load(run).classifier.network).state_dict(), saved)
    size = variant.size_bytes - (run / "model.safetensors").stat().st_size + saved.getbuffer().nbytes
    name = f"{variant.kind} PyTorch dynamic int8"
    return replace(variant, name=name, runtime="torch dynamic int8", size_bytes=size)


def _optimum_variant(parent: Bundle, folder: Path) -> Variant:
    """A Bundle with the parent's everything around the model that optimum made of the parent's."""
    model = _optimum_quantised(parent, folder / "model")
    contents = Contents(
        model=model,
        kind=parent.kind,
        precision="int8",
        target=detect_target(),
        tokenizer_json=parent.tokenizer_json,
        labels=parent.labels,
        thresholds=parent.thresholds,
        preprocess=parent.preprocess,
        recipe=read_json(parent.folder / "recipe.json", BundleError),
        figures={},
        golden={},
        card=f"{parent.folder}, quantised by optimum to be measured; not to be shipped.\n",
        run_sha256=parent.sha256,
        modalities=parent.modalities,
    )
    bundle = write_bundle(folder / "bundle", contents)
    model.unlink()
    name = f"{bundle.kind} optimum dynamic int8"
    return Variant(name, bundle.kind, "optimum dynamic int8", bundle.folder, bundle.size_bytes())


def _optimum_quantised(parent: Bundle, out: Path) -> Path:
    """The file that optimum's one call writes into `out`, with the preset of this machine. Raises BenchError."""
    quantizers, configurations = (_import_optimum(name) for name in ("quantization", "configuration"))
    configs = configurations.AutoQuantizationConfig
    presets = {"arm64": configs.arm64, "x86-vnni": configs.avx512_vnni}
    preset = presets.get(detect_target(), configs.avx2)
    try:
        with quiet():  # that a Bundle has no config.json, and that pixels are uint8
            quantizers.ORTQuantizer.from_pretrained(parent.folder, file_name=parent.model.name).quantize(
                save_dir=out, quantization_config=preset(is_static=False, per_channel=False)
            )
    except (ValueError, AssertionError, RuntimeError, LookupError) as error:
        raise BenchError(
            f"{parent.model}: optimum cannot quantise it ({last_line(error)}); leave out --peer optimum-int8"
        ) from error
    return next(out.glob("*.onnx"))
