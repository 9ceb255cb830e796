"""Freed memory is used again, counted by the pages that the system hands out."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

BLOCKS = """
import resource, sys
from distill.core.machine.freed_memory import keep_freed_memory
if "keep" in sys.argv:
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments: str, **environment: str) -> int:
    mine = {key: value for key, value in os.environ.items() if "MALLOC" not in key.upper()}
    answer = subprocess.run(
        [sys.executable, "-c", BLOCKS, *arguments],
        env=mine | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(answer.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_blocks_are_used_again_unless_the_environment_says_otherwise() -> None:
    fresh = faults()
    assert faults("keep") < fresh / 8  # one block of twenty is new
    assert faults("keep", MALLOC_MMAP_THRESHOLD_=str(1 << 20)) > fresh / 2
