"""Exports a Checkpoint to a Bundle: ONNX, parity with torch, quantisation and the model card."""

PART_OF = "distill"
