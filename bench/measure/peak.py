"""How fast this machine multiplies matrices in onnxruntime, in 8 bits and in float, and how fast it reads memory.

Its files of one node are written here, field by field as onnx.proto numbers them, so that a device needs no onnx.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure.bandwidth import read_gb_s
from bench.report.measured import Peak
from distill.core.machine.cpu import detect_target, weight_limit
from distill.runtime.onnx import graph as proto
from distill.runtime.onnx.graph import GRAPH
from distill.runtime.onnx.protobuf import BYTES, VARINT
from distill.runtime.onnx.session import open_session

# A BERT layer's widest product, and rows enough that more gain nothing: on an AVX512-VNNI EPYC, one thread, int8
# makes 437 Gop/s with 24 rows, 450 with 96 to 256; fp32 114 with any from 24 on.
ROWS, INNER, COLUMNS = 128, 768, 3072
SECONDS = 0.6  # of calls for each precision
LEAST_CALLS = 3
IR_VERSION, OPSET = 8, 13


def measure(threads: int, folder: Path) -> Peak:
    """Write both products into `folder` and time them. A peak is a maximum, so the best call counts: whatever
    disturbs one only makes it slower. Raises BundleError."""
    random = np.random.default_rng(0)
    limit = weight_limit(detect_target())  # more would overflow where there is no VNNI
    small = random.integers(-limit, limit + 1, (INNER, COLUMNS)).astype(np.int8)
    large = random.standard_normal((INNER, COLUMNS)).astype(np.float32)
    return Peak(
        threads=threads,
        rows=ROWS,
        inner=INNER,
        columns=COLUMNS,
        int8_gops=_best(small, random.integers(0, 256, (ROWS, INNER)).astype(np.uint8), threads, folder),
        fp32_gops=_best(large, random.standard_normal((ROWS, INNER)).astype(np.float32), threads, folder),
        read_gb_s=read_gb_s(threads),
    )


def _best(weights: NDArray[Any], inputs: NDArray[Any], threads: int, folder: Path) -> float:
    """10^9 operations a second, the best of the calls."""
    path = folder / f"{weights.dtype}.onnx"
    path.write_bytes(product(weights, len(inputs)))
    session = open_session(path, threads)
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(["product"], {"given": inputs})
        times.append(time.perf_counter() - start)
    return 2 * len(inputs) * weights.size / min(times) / 1e9


def product(weights: NDArray[Any], rows: int) -> bytes:
    """An ONNX file that multiplies `given` (rows, K) with `weights` (K, N) to `product` (rows, N): uint8 with int8
    to int32, or float32 throughout. The weights are a constant, which onnxruntime packs beforehand."""
    small = weights.dtype == np.int8
    inner, columns = weights.shape
    node = _texts(proto.INPUT, "given", "weights") + _texts(proto.OUTPUT, "product")
    node += _texts(proto.NODE_NAME, "multiply") + _texts(proto.OP_TYPE, "MatMulInteger" if small else "MatMul")
    tensor = b"".join(_number(proto.DIMS, size) for size in weights.shape) + _texts(proto.TENSOR_NAME, "weights")
    raw = weights.astype(weights.dtype.newbyteorder("<")).tobytes()
    tensor += _number(proto.DATA_TYPE, proto.INT8 if small else proto.FLOAT) + _part(9, raw)  # raw_data
    graph = _part(proto.NODE, node) + _texts(2, "graph") + _part(proto.INITIALIZER, tensor)
    graph += _part(11, _value("given", proto.UINT8 if small else proto.FLOAT, (rows, inner)))
    graph += _part(12, _value("product", proto.INT32 if small else proto.FLOAT, (rows, columns)))
    opset = _texts(1, "") + _number(2, OPSET)  # the standard operators' domain has no name
    return _number(1, IR_VERSION) + _part(GRAPH, graph) + _part(8, opset)


def _value(name: str, data_type: int, shape: tuple[int, ...]) -> bytes:
    """A ValueInfoProto."""
    sizes = b"".join(_part(1, _number(1, size)) for size in shape)
    return _texts(1, name) + _part(2, _part(1, _number(1, data_type) + _part(2, sizes)))


def _texts(field: int, *texts: str) -> bytes:
    return b"".join(_part(field, text.encode()) for text in texts)


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | BYTES) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
