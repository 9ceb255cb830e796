"""A Bundle in one file: its other files stored in the metadata of its ONNX model."""

from __future__ import annotations

import json
from pathlib import Path

import onnx

from distill.runtime.bundle import PREFIX, Contents
from distill.runtime.onnx.metadata import read_metadata


def embed_contents(model: Path, contents: Contents, out: Path) -> None:
    """Write `out`: the graph of `model` with labels, thresholds, preprocessing and tokenizer in its metadata, and
    the SHA-256 of the graph, so that one file can be copied, checked and served alone."""
    proto = onnx.load(str(model))
    metadata = onnx_metadata(contents)
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, str(out))
    metadata["distill.graph_sha256"] = json.dumps(read_metadata(out).graph_sha256)
    onnx.helper.set_model_props(proto, metadata)
    onnx.save(proto, str(out))


def onnx_metadata(contents: Contents) -> dict[str, str]:
    """What the file stores beside its graph: JSON by name."""
    parts = {
        "manifest": contents.manifest(),
        "labels": "\n".join(contents.labels.names) + "\n",
        "thresholds": contents.thresholds.to_json(),
        "preprocess": contents.preprocess.to_json(),
        "tokenizer": contents.tokenizer_json,
        "golden": contents.golden,
    }
    return {f"{PREFIX}{name}": json.dumps(value, ensure_ascii=False) for name, value in parts.items()}
