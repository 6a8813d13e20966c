"""A program: scans messages that end where readable memory does. A load beyond it ends the process (SIGSEGV).

Run by test_scan.py; Linux alone, whose ``mprotect`` takes a page away.
"""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pyarrow as pa
from scanner_for_tests import scanner_of

from streamlearn.belt.scan_intrinsics import PADDING_BYTES
from streamlearn.config import Event

EVENT = Event(label="y", time="at", numeric=("x",), categorical=("c",))
WHOLE = (
    r'{"at":"2026-01-31","x":-12345678.12345678e-1,"c":"longer than a word","z":["\u00e9€",{}],"y":1 }'
).encode()


def main() -> None:
    scanner = scanner_of(EVENT, "binary")
    size = mmap.PAGESIZE
    pages = mmap.mmap(-1, 2 * size)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    taken_away = ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + size), ctypes.c_size_t(size), 0)
    assert taken_away == 0
    for spare in range(PADDING_BYTES + 1):
        for filler in b'0"}e\\\xf0,{ ':
            for stop in range(1, len(WHOLE) + 1):
                pages[:size] = bytes([filler]) * size
                pages[size - spare - stop : size - spare] = WHOLE[:stop]
                data = pa.foreign_buffer(start + size - spare - stop, stop + spare)
                offsets = pa.py_buffer(np.array([0, stop]))
                values = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])
                doubtful = scanner.scan(values, np.zeros(1, np.int64)).doubtful_B[0]
                assert doubtful == (stop < len(WHOLE)), (spare, filler, stop)
    print("read no further")


if __name__ == "__main__":
    main()
