"""Refuses a LiteRT file that could do more than compute: read other files, run foreign code, keep state, or loop.

The field numbers are those of LiteRT's schema.fbs. LiteRT itself checks that the file is well formed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from distill.core.errors import BundleError
from distill.runtime.flatbuffer import Table, open_table
from distill.runtime.onnx.guard import MAX_BYTES

IDENTIFIER = b"TFL3"
OPERATOR_CODES, SUBGRAPHS, BUFFERS, EXTERNAL_GROUPS, EXTERNAL_BUFFERS = 1, 2, 4, 8, 9  # of Model
OLD_CODE, CUSTOM_CODE, CODE = 0, 1, 3  # of OperatorCode
OFFSET, SIZE = 1, 2  # of Buffer
TENSORS = 0  # of SubGraph
IS_VARIABLE, EXTERNAL_BUFFER = 5, 10  # of Tensor
# Of BuiltinOperator: what calls another graph or itself, keeps state, or is somebody's own code.
REFUSED = {
    31: "CALL",
    32: "CUSTOM",
    51: "DELEGATE",
    118: "IF",
    119: "WHILE",
    129: "CALL_ONCE",
    136: "HASHTABLE",
    142: "VAR_HANDLE",
    143: "READ_VARIABLE",
    144: "ASSIGN_VARIABLE",
}
STABLEHLO = 162  # the first code of another set of operators, some of which call graphs
NOT_STABLEHLO = (203, 205)  # DILATE and REDUCE_WINDOW, which came after it


def check_litert_file(path: Path) -> None:
    """Raises BundleError for a file that is missing, damaged or unsafe to open."""
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, over the limit of {MAX_BYTES:,}")
        _check_model(open_table(path, IDENTIFIER))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read as a LiteRT file: {error}; get the Bundle again") from error


def _check_model(model: Table) -> None:
    if model.length(EXTERNAL_GROUPS) or model.length(EXTERNAL_BUFFERS):
        _refuse("weights in another file")
    for code in model.tables(OPERATOR_CODES):
        # Files of before 2020 have the code in one byte; LiteRT takes the larger of the two.
        number = max(code.number(OLD_CODE, "b", 0), code.number(CODE, "i", 0))
        if code.has(CUSTOM_CODE):
            _refuse("somebody's own operator")
        if number in REFUSED or (number >= STABLEHLO and number not in NOT_STABLEHLO):
            _refuse(f"the operator {REFUSED.get(number, number)}")
    for buffer in model.tables(BUFFERS):
        if buffer.number(OFFSET, "Q", 0) > 1 or buffer.number(SIZE, "Q", 0) > 1:
            _refuse("weights behind its end")
    graphs = model.length(SUBGRAPHS)
    if graphs != 1:
        raise ValueError(f"it holds {graphs} graphs")
    for tensor in next(model.tables(SUBGRAPHS)).tables(TENSORS):
        if tensor.number(IS_VARIABLE, "B", 0):
            _refuse("state that one call leaves to the next")
        if tensor.has(EXTERNAL_BUFFER) and tensor.number(EXTERNAL_BUFFER, "I", 0):
            _refuse("weights in another file")


def _refuse(what: str) -> NoReturn:
    raise ValueError(f"it holds {what}, which no Bundle has")
