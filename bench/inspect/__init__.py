"""What a run or a Bundle gets wrong, on one page: `find` the figures, `write` the folder. Trains nothing."""

from bench.inspect.findings import Findings, find
from bench.inspect.folder import write

__all__ = ["Findings", "find", "write"]
