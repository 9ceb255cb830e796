"""Opens an ONNX file in onnxruntime and runs it, always with the same options."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from distill.core.cores import session_threads
from distill.core.errors import BundleError
from distill.preprocess.inputs import ModelInputs

DISABLED_OPTIMIZERS = ["SkipLayerNormFusion"]  # its operator takes four times what a sum and a layer norm take


def open_session(
    model: Path,
    threads: int,
    exact: bool = False,
    arena: bool = True,
    optimised: Path | None = None,
    profile: Path | None = None,
) -> onnxruntime.InferenceSession:
    """A session on the CPU with this many threads; 0 lets onnxruntime choose, within a container's quota.

    `exact` makes an x86 without VNNI multiply u8 x u8, which is slower and cannot overflow. Without `arena`, memory
    goes back to the system after each run. `optimised` is where to write the graph that really runs, `profile` the
    beginning of the profile's file name. Raises BundleError.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or session_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised; onnxruntime's own lines show names in the graph as they are
    options.enable_cpu_mem_arena = arena
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    try:
        return onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED_OPTIMIZERS
        )
    except Exception as error:
        reason = first_line(error)
        raise BundleError(f"{model}: onnxruntime {onnxruntime.__version__} cannot open it: {reason}") from error


def run_session(session: onnxruntime.InferenceSession, batch: ModelInputs) -> NDArray[np.float32]:
    """Logits float32 (B, L) of one batch."""
    logits: NDArray[np.float32] = session.run(["logits"], batch.feed())[0]
    return logits


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
