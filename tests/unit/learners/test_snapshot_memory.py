"""Memory of snapshots is used again, and never while somebody still looks at what lies there."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from streamlearn.learners.snapshot_memory import BLOCK_BYTES_MIN, SnapshotMemory

LARGE = 3 * BLOCK_BYTES_MIN


def _copied(memory: SnapshotMemory, value: int, nbytes: int = LARGE) -> np.ndarray:
    with memory.in_use():
        return memory.copied(np.full(nbytes, value, np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.int32, np.float64])
@pytest.mark.parametrize("rest", [0, 1, 63])
def test_a_copy_is_equal_whatever_its_size(dtype: type, rest: int) -> None:
    rng = np.random.default_rng(rest)
    matrix = rng.integers(0, 2, (7, LARGE // 7 + rest)).astype(dtype)
    memory = SnapshotMemory()
    with memory.in_use():
        copies = [
            memory.copied(each) for each in (matrix, matrix[:, :-3], matrix.T, matrix[:0], matrix[1, 1:])
        ]
    for copy, original in zip(
        copies, (matrix, matrix[:, :-3], matrix.T, matrix[:0], matrix[1, 1:]), strict=True
    ):
        assert copy.flags.c_contiguous
        assert copy.dtype == original.dtype
        np.testing.assert_array_equal(copy, original)
        assert not np.shares_memory(copy, original)


def test_two_snapshots_take_turns_and_no_third_place_is_needed() -> None:
    memory = SnapshotMemory()
    before, addresses = _copied(memory, 0), set()
    for number in range(1, 9):
        after = _copied(memory, number)
        addresses.add(after.ctypes.data)
        assert before[0] == number - 1, "the way back stands while the next one is copied"
        assert (before == number - 1).all()
        before = after
    assert len(addresses) == 2


def test_what_is_looked_at_in_part_is_not_written_over() -> None:
    memory = SnapshotMemory()
    first = _copied(memory, 1)
    content, piece = memoryview(first).cast("B")[10:20], first[-5:].view(np.int8)
    del first
    others = [_copied(memory, number) for number in range(2, 6)]
    assert bytes(content) == b"\x01" * 10
    assert (piece == 1).all()
    assert [int(other[0]) for other in others] == [2, 3, 4, 5]


def test_another_thread_may_be_the_last_to_look() -> None:
    memory = SnapshotMemory()
    taken, address = [_copied(memory, 1)], 0
    address = taken[0].ctypes.data
    spare = _copied(memory, 2)
    thread = threading.Thread(target=taken.clear)
    thread.start()
    thread.join()
    assert _copied(memory, 3).ctypes.data == address
    assert (spare == 2).all()


def test_what_became_too_small_is_let_go_of() -> None:
    memory = SnapshotMemory()
    small = _copied(memory, 1)
    large = _copied(memory, 2, 4 * LARGE)
    del small
    larger = _copied(memory, 3, 4 * LARGE)
    assert memory.free_bytes == 0
    assert (large == 2).all()
    assert (larger == 3).all()


def test_what_comes_back_while_a_snapshot_is_made_is_there_for_the_next() -> None:
    memory = SnapshotMemory()
    before = [_copied(memory, 1)]
    with memory.in_use():
        now = memory.copied(np.full(LARGE, 2, np.uint8))
        before.clear()
    assert memory.free_bytes >= LARGE
    assert (now == 2).all()
