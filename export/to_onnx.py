"""From a torch network to an fp32 ONNX file. Knows the exporter, no quantisation."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import torch

from distill.classifier import Classifier
from distill.errors import ExportError

OPSET = 18
MAX_BATCH = 4096
INPUTS = ("input_ids", "attention_mask", "pixels", "present")


def to_onnx(classifier: Classifier, path: Path) -> None:
    """Write `path` with dynamic batch and sequence axes, batch norms folded. Raises ExportError.

    The exporter's graph is checked against torch by `export.parity`, never trusted.
    """
    size, longest = classifier.spec.picture.size, classifier.spec.text.max_tokens
    example = (
        torch.ones(2, 8, dtype=torch.int64),
        torch.ones(2, 8, dtype=torch.int64),
        torch.zeros(2, 3, size, size),
        torch.ones(2, 2),
    )
    batch, tokens = (
        torch.export.Dim("batch", min=1, max=MAX_BATCH),
        torch.export.Dim("tokens", min=1, max=longest),
    )
    network = classifier.network.cpu().eval()
    try:
        # The exporter prints its progress to standard output, which belongs to results.
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                input_names=list(INPUTS),
                output_names=["logits"],
                dynamic_shapes=({0: batch, 1: tokens}, {0: batch, 1: tokens}, {0: batch}, {0: batch}),
                opset_version=OPSET,
                verbose=False,
            )
        program.save(str(path), external_data=False)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExportError(f"torch cannot export {classifier.config.text.model}: {reason}") from error
