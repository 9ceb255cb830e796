"""What becomes of memory that is freed. Imports nothing slow."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

# mallopt(3) of glibc: from how many free bytes on it gives them back, and how many blocks have pages of their own.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = -1
_OWN_WISHES = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")


@cache
def keep_freed_memory() -> None:
    """Let this process keep what it frees for its next allocations, until it ends.

    glibc takes fresh pages from the system for each block of 32 MiB and more and gives them back when it is freed.
    A network's activations are such blocks: each of them is cleared by the system, page by page, a thousand times
    over. Nothing is done with another C library, or where the environment says what malloc should do.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _OWN_WISHES):
        return
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _NEVER)
