"""Lists and dictionaries that Python or JSON has written into a cell of a text file."""

from __future__ import annotations

import ast
import io
import tokenize
from contextlib import suppress
from typing import Any, ClassVar

from distill.core.errors import DataError
from distill.core.untrusted import short_repr

MAX_LIST = 100_000  # characters of a list in a cell


def unwritten(value: Any) -> Any:
    """The list, tuple, set or dictionary that is written in a cell, or the cell as it is."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "(", "{")):
        with suppress(DataError):
            return python_value(value.strip(), "")
    return value


class _WithoutWords(ast.NodeTransformer):
    """Puts literals in place of the words that JSON and pandas write."""

    words: ClassVar[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "nan": None, "NaN": None}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(self.words[node.id]) if node.id in self.words else node


def python_value(cell: str, where: str) -> Any:
    """The list or dictionary of literals that Python or JSON has written into a cell; nan is None. Raises
    DataError."""
    if len(cell) > MAX_LIST:
        raise DataError(f"{where}: a list of {len(cell):,} characters, over the limit of {MAX_LIST:,}")
    try:
        value = ast.literal_eval(_WithoutWords().visit(ast.parse(cell, mode="eval")))
        strings = sum(
            token.type == tokenize.STRING for token in tokenize.generate_tokens(io.StringIO(cell).readline)
        )
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError, tokenize.TokenError) as error:
        raise DataError(
            f"{where}: labels are {short_repr(cell)}, which is no list of names; write ['a', 'b']"
        ) from error
    if isinstance(value, list | set) and strings > sum(isinstance(each, str) for each in value):
        # Python joins strings without a comma between them.
        raise DataError(
            f"{where}: labels are {short_repr(cell)}, a list without commas, as numpy writes it; "
            "save it as a list: column.apply(list)"
        )
    return value
