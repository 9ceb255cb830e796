"""How fast this machine reads memory: what a model's weights have to pass when they do not fit the cache."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SIZE_BYTES = 1 << 28  # several times the last cache of most processors
SECONDS = 0.6
LEAST_READS = 3


def read_gb_s(threads: int) -> float:
    """10^9 bytes a second that so many threads read side by side, each its own part of one large array; the best of
    several reads, as whatever disturbs one only makes it slower.

    The bits are or-ed together, which takes one instruction for as many bytes as a register holds: on an EPYC it is
    as quick as the C library's memchr. numpy lets go of the interpreter's lock meanwhile.
    """
    parts = np.array_split(np.ones(SIZE_BYTES // 8, dtype=np.int64), threads)
    times: list[float] = []
    with ThreadPoolExecutor(threads) as pool:
        end = time.perf_counter() + SECONDS
        while len(times) < LEAST_READS or time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, parts))
            times.append(time.perf_counter() - start)
    return SIZE_BYTES / min(times) / 1e9
