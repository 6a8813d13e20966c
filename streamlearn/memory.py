"""What the process tells its allocators: a belt takes and gives back the same large blocks again and again."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

import pyarrow as pa

# mallopt(3), of glibc
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MAPPED_BYTES_MIN: Final = 32 * 1024 * 1024  # the largest that it takes
_KEPT_BYTES_MAX: Final = 128 * 1024 * 1024


def keep_freed_blocks() -> bool:
    """Have blocks of up to 32 MiB used again once they are freed; return whether the C library does so.

    By itself glibc takes large blocks from the system and gives back what is free at the end of the heap. The system
    clears each page that it hands out: a seventh of the time of a daemon that sends predictions, and a fifteenth of
    one that sends none (measured). Up to 128 MiB that nothing uses stay with the process.

    Arrow's own allocator gives pages back, too, so its memory comes from the C library.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    mallopt: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    is_mapped_set = mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES_MIN) == 1
    return mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES_MAX) == 1 and is_mapped_set
