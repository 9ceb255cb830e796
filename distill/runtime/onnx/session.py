"""Opens an ONNX or ORT file in onnxruntime and runs it, always with the same options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from distill.core.errors import BundleError, first_line
from distill.core.machine.cores import session_threads
from distill.core.machine.runtimes import Provider
from distill.core.untrusted import shorten
from distill.preprocess.inputs import ModelInputs
from distill.runtime.onnx.providers import provider_settings, refuse_if_fallen_back

DISABLED_OPTIMIZERS = ["SkipLayerNormFusion"]  # its operator takes four times what a sum and a layer norm take
OPTIMISED, PROFILE = "optimised.onnx", "profile"  # what is recorded in a folder

WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
SPINNING, SPIN_US = "session.intra_op.spin_duration_us", "50"  # an onnxruntime before 1.26 knows no duration


@dataclass(frozen=True)
class Part:
    """The content of an ONNX file that is on no disk; its large weights are those of a file in `folder`, and
    `tables` are constants that sessions share."""

    content: bytes
    folder: Path
    tables: Mapping[str, onnxruntime.OrtValue]


class OnnxModel:
    """A session, as `distill.runtime.opened.OpenedModel`."""

    def __init__(
        self, model: Path, threads: int = 1, exact: bool = False, arena: bool = True, provider: Provider = "cpu"
    ) -> None:
        """The arguments are those of `open_session`. Raises BundleError and InstallError."""
        self.session = open_session(model, threads, exact, arena, provider)
        self.title = f"onnxruntime {onnxruntime.__version__}" + (f" ({provider})" if provider != "cpu" else "")

    def tensors(self) -> Sequence[Any]:
        """The inputs, then the outputs."""
        return [*self.session.get_inputs(), *self.session.get_outputs()]

    def run(self, batch: ModelInputs) -> NDArray[np.float32]:
        """Logits float32 (B, L)."""
        return run_session(self.session, batch)


def open_session(
    model: Path | Part,
    threads: int,
    exact: bool = False,
    arena: bool = True,
    provider: Provider = "cpu",
    record: Path | None = None,
) -> onnxruntime.InferenceSession:
    """A session of a file, or of a part of one, with this many threads; 0 lets onnxruntime choose, within a
    container's quota.

    `exact` makes an x86 without VNNI multiply u8 x u8, which is slower and cannot overflow. Without `arena`, memory
    goes back to the system after each run. What `provider` has no operator for runs on the CPU. `record` is a
    folder for the graph that really runs (OPTIMISED) and for a profile. Raises BundleError, and InstallError for a
    provider that this onnxruntime does not have.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or session_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised; onnxruntime's own lines show names in the graph as they are
    options.enable_cpu_mem_arena = arena
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if record is not None:
        options.optimized_model_filepath = str(record / OPTIMISED)
        options.enable_profiling = True
        options.profile_file_prefix = str(record / PROFILE)
    if isinstance(model, Part):
        options.add_session_config_entry(WEIGHTS_FOLDER, str(model.folder))
        for name, table in model.tables.items():
            options.add_initializer(name, table)
        options.add_session_config_entry(SPINNING, SPIN_US)  # then idle threads leave their core to the other tower
    providers = provider_settings(provider, threads)
    try:
        session = onnxruntime.InferenceSession(
            model.content if isinstance(model, Part) else str(model),
            options,
            providers=providers,
            disabled_optimizers=DISABLED_OPTIMIZERS,
            enable_fallback=0,  # it would go on with the CPU, then or later, and print that among the results
        )
    except Exception as error:
        reason = shorten(first_line(error))
        hint = "" if provider == "cpu" else f"; try the fp32 ONNX Bundle with --provider {provider}"
        name = "a part of the model" if isinstance(model, Part) else str(model)
        raise BundleError(
            f"{name}: onnxruntime {onnxruntime.__version__} cannot open it: {reason}{hint}"
        ) from error
    refuse_if_fallen_back(session, provider)
    return session


def run_session(session: onnxruntime.InferenceSession, batch: ModelInputs) -> NDArray[np.float32]:
    """Logits float32 (B, L) of one batch."""
    logits: NDArray[np.float32] = session.run(["logits"], batch.feed())[0]
    return logits
