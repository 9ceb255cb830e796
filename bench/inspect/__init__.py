"""What a run or a Bundle gets wrong, on one page: `inspect` a model, then `write` the folder."""

from bench.inspect.findings import Findings, inspect
from bench.inspect.folder import write

__all__ = ["Findings", "inspect", "write"]
