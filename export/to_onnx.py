"""Export a torch network to an fp32 ONNX file."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.core.errors import ExportError
from distill.model.classifier import Classifier
from distill.model.network import TwoTowerNetwork
from distill.preprocess.images import ImageSpec
from distill.runtime.onnx.towers import INPUTS

OPSET = 18
MAX_BATCH = 4096


class ServedNetwork(nn.Module):
    """The network as a device runs it: it takes decoded pixels and normalises them itself."""

    mean: Tensor
    variance: Tensor

    def __init__(self, network: TwoTowerNetwork, spec: ImageSpec) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(spec.mean))
        self.register_buffer("variance", (255 * torch.tensor(spec.std)) ** 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixels: Tensor, present: Tensor) -> Tensor:
        """Logits (B, L), as of TwoTowerNetwork but from pixels uint8 (B, H, W, 3)."""
        channels = pixels.permute(0, 3, 1, 2).to(torch.float32)
        # One pass over the pixels; a product and a sum would each take as long.
        normalised = F.batch_norm(channels, self.mean, self.variance, eps=0.0)
        logits: Tensor = self.network(input_ids, attention_mask, normalised, present)
        return logits


def to_onnx(classifier: Classifier, path: Path) -> None:
    """Write `path` with dynamic batch and sequence axes, batch norms folded and normalisation inside.

    The file holds standard operators only, so that any runtime can open it. The exporter is not trusted:
    `export.parity` compares the file with torch. Raises ExportError.
    """
    size = classifier.spec.image.size
    example = (
        torch.ones(2, 8, dtype=torch.int64),
        torch.ones(2, 8, dtype=torch.int64),
        torch.zeros(2, size, size, 3, dtype=torch.uint8),
        torch.ones(2, 2),
    )
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    tokens = torch.export.Dim("tokens", min=1, max=classifier.spec.text.max_tokens)
    network = ServedNetwork(classifier.network.cpu(), classifier.spec.image).eval()
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
