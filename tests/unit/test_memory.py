"""Large blocks that are freed are used again, without pages that the system has to clear."""

from __future__ import annotations

import subprocess
import sys

import pytest

TURNS = """
import resource
import numpy as np
import pyarrow as pa
from streamlearn.memory import keep_freed_blocks

if not keep_freed_blocks():
    print("another C library")
    raise SystemExit
assert pa.default_memory_pool().backend_name == "system"

def turn():
    for block in [np.empty(25 << 20, np.uint8) for _ in range(3)]:
        block[::4096] = 1

turn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    turn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_block_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", TURNS], capture_output=True, text=True, check=True)
    if done.stdout == "another C library\n":
        pytest.skip("it is not glibc")
    # Three of 25 MiB are 19,200 pages: without it all of them, in each turn, or as many huge ones as hold them.
    assert int(done.stdout) < 100
