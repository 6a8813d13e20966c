"""The scanner as the decoder sees it: rows in their places, buffers within their bounds, kernels on disk."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numba.core.errors import NumbaError
from numbers_for_tests import apart
from scanner_for_tests import array_of, check_scan, scan_rows_of, scanner_of

from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.scan_gather import gather, text_offsets
from streamlearn.belt.scan_names import NamesTable, find_name, hash_bytes
from streamlearn.belt.scan_rows import scan_rows
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA, Reason

TESTS = Path(__file__).parents[2]
BELT = TESTS.parent / "streamlearn" / "belt"
EVENT = Event(label="y", id="id", time="at", numeric=("x", "n"), categorical=("c",), message_bytes_max=200)


def message(i: int) -> bytes:
    fields = {
        "id": i,
        "at": "2026-01-31T00:00:00Z",
        "y": i % 2,
        "x": i / 7,
        "n": i if i % 3 else None,
        "c": f"c{i}",
    }
    return json.dumps(fields).encode()


def raw_batch(messages: list[bytes | None]) -> pa.RecordBatch:
    zeros = [0] * len(messages)
    columns = [zeros, zeros, zeros, zeros, [None] * len(messages), messages]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RAW_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA)


STRANGERS: list[bytes | None] = [
    None,
    b"",
    b"{",
    b'{"id":1,"at":"never"}',
    b'{"id":true}',
    message(1)[:-1] + b" " * 200 + b"}",
]


def test_rows_that_are_filled_in_stand_in_their_places() -> None:
    messages = [message(i) if i % 5 else STRANGERS[i // 5 % len(STRANGERS)] for i in range(300)]
    taken = check_scan(EVENT, "binary", messages)
    assert taken.tolist() == [i % 5 != 0 for i in range(300)]


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 63, 64, 65, 512])
def test_batches_of_any_size_and_of_strangers_only(count: int) -> None:
    assert check_scan(EVENT, "binary", [message(i) for i in range(count)]).all()
    assert not check_scan(EVENT, "binary", [STRANGERS[i % len(STRANGERS)] for i in range(count)]).any()


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_columns_that_the_contract_does_not_fill_are_null(task: str) -> None:
    event = Event(label="y", numeric=("x",))
    assert check_scan(event, task, [b'{"x":1,"y":1,"id":2,"at":3,"c":4}', b'{"x":true}', b"{}"]).all()
    assert check_scan(Event(numeric=("x",)), task, [b'{"x":1,"y":[]}']).all()


def test_slices_hold_their_own_rows() -> None:
    messages = [b"[" * 90, None, *(message(i) if i % 4 else None for i in range(60)), b'"' * 99]
    values = array_of(messages)
    for start, stop in [(0, 62), (2, 62), (3, 4), (2, 2), (40, 62), (1, 63)]:
        check_scan(EVENT, "binary", messages[start:stop], values.slice(start, stop - start))


def test_what_lies_under_a_null_is_not_read() -> None:
    values = pa.Array.from_buffers(
        pa.large_binary(),
        2,
        [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 7, 14])), pa.py_buffer(b'{"x":1}{"x":2}')],
    )
    assert check_scan(Event(numeric=("x",)), "binary", [None, b'{"x":2}'], values).tolist() == [False, True]


def test_messages_up_to_the_last_byte_of_their_buffer_and_before_hostile_ones() -> None:
    event = Event(label="y", numeric=("x",), categorical=("c",))
    for text in (
        b'{"x":1}',
        b'{"x":12345678}',
        b'{"c":"abcdefgh"}',
        b"{}",
        b'{"y":true}',
        b'{"x":1.5e1}',
        b'{"x":',
    ):
        for behind in range(20):
            for filler in (b"9", b'"', b"}", b" ", b"e", b"\xff"):
                data = pa.py_buffer(text + filler * behind)
                offsets = pa.py_buffer(np.array([0, len(text)]))
                values = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])
                assert check_scan(event, "binary", [text], values).tolist() == [text.endswith(b"}")]


@pytest.mark.skipif(sys.platform != "linux", reason="protects a page as Linux does")
def test_kernels_stay_within_the_memory_that_they_are_given() -> None:
    program = TESTS / "scanner_at_the_edge.py"
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout == "read no further\n"


def test_fields_with_several_roles() -> None:
    event = Event(id="n", time="n", time_format="epoch_seconds", numeric=("n",), categorical=("c",))
    messages = [b'{"n":5}', b'{"n":5.0}', b'{"n":"5"}', b'{"n":9007199254740993}', b'{"n":-0}', b'{"n":null}']
    assert check_scan(event, "binary", messages).tolist() == [True, False, False, False, False, False]
    event = Event(id="c", time="c", numeric=("n",), categorical=("c",))
    assert check_scan(event, "binary", [b'{"c":"1970-01-01"}', b'{"c":"x"}', b'{"c":7}']).tolist() == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("name", ["a.b", "é", "😀", "", 'a"b', "a\\b", "a\nb", "x" * 500])
def test_field_names_may_hold_any_characters(name: str) -> None:
    event = Event(label="y", numeric=(name,), categorical=("c",))
    messages = [json.dumps({name: 2.5}).encode(), json.dumps({name: 2.5}, ensure_ascii=False).encode(), b"{}"]
    check_scan(event, "binary", messages)


def test_classes_are_the_known_ones() -> None:
    event = Event(label="y", classes=("AA", 1, True, "é"), numeric=("x",))
    values = ['"AA"', "1", "1.0", "true", '"é"', '"1"', "false", "0", "1.5", "2", '"A"', '"AAA"', "-1", "1e0"]
    messages = [f'{{"y":{value}}}'.encode() for value in values]
    assert check_scan(event, "multiclass", messages).tolist() == [True] * 5 + [False] * 9


def test_which_route_takes_a_row_depends_on_its_own_bytes_alone() -> None:
    chance = np.random.default_rng(1)
    messages = [message(i) if i % 3 else STRANGERS[i % len(STRANGERS)] for i in range(60)]
    alone = [check_scan(EVENT, "binary", [each])[0] for each in messages]
    for _ in range(5):
        order = chance.permutation(60).tolist()
        together = check_scan(EVENT, "binary", [messages[i] for i in order])
        assert together.tolist() == [alone[i] for i in order]


def test_a_scanner_may_be_shared_by_threads() -> None:
    scanner = scanner_of(EVENT, "binary")
    values = array_of([message(i) for i in range(2000)])
    timestamps_us = np.zeros(2000, np.int64)

    def values_of(columns: list[pa.Array]) -> list[list[Any]]:
        return [column.to_pylist() for column in columns]

    once = values_of(scanner.scan(values, timestamps_us).columns())
    with ThreadPoolExecutor(4) as pool:
        batches = pool.map(lambda _: scanner.scan(values, timestamps_us).columns(), range(8))
        assert all(repr(again) == repr(once) for again in map(values_of, batches))


def test_kernels_run_without_the_interpreters_lock() -> None:
    for each in (scan_rows, gather, text_offsets):
        options: dict[str, Any] = each.targetoptions  # type: ignore[attr-defined]
        assert options["nogil"] is True
        assert options["fastmath"] is False


def test_texts_are_gathered_to_the_byte() -> None:
    texts = [b"", b"a", b"1234567", b"12345678", b"123456789", b"x" * 100, b"\xff" * 16]
    source = np.frombuffer(b"".join(texts), np.uint8)
    lengths = np.array([*map(len, texts), -1])
    starts = source.ctypes.data + np.cumsum([0, *map(len, texts)])
    offsets = np.empty(len(lengths) + 1, np.int64)
    total = text_offsets(lengths.ctypes.data, len(lengths), offsets.ctypes.data)
    assert total == len(source) == offsets[-1]
    target = np.full(total + 8, 7, np.uint8)
    gather(starts.ctypes.data, lengths.ctypes.data, len(lengths), target.ctypes.data)
    assert target[:total].tobytes() == source.tobytes()
    assert target[total:].tolist() == [7] * 8


def test_names_are_found_by_all_of_their_bytes() -> None:
    names = [f"name_{i}" for i in range(500)] + ["", "a", "12345678", "123456789", "é"]
    table = NamesTable(names)

    def find(name: str) -> int:
        padded = np.frombuffer(name.encode() + b"_" * 16, np.uint8)
        return find_name(table.address, table.slots, padded.ctypes.data, len(name.encode()))

    assert [find(name) for name in names] == list(range(len(names)))
    assert [find(name) for name in ("name_500", "name_", "b", "1234567", "1234567890", "e")] == [-1] * 6


def test_the_decoder_says_which_engine_it_has_and_warms_it_up() -> None:
    decoder = JsonDecoder(EVENT, "binary")
    assert decoder.warm_up() == decoder.engine == "scanner"


def test_without_numba_the_decoder_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = raw_batch([message(i) if i % 5 else None for i in range(100)])
    with_numba = JsonDecoder(EVENT, "binary").decode(batch)
    for name in [name for name in sys.modules if name.startswith("streamlearn.belt.scan")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numba", None)
    decoder = JsonDecoder(EVENT, "binary")
    assert decoder.warm_up() == decoder.engine == "msgspec"
    assert apart(decoder.decode(batch), EVENT.numeric).equals(apart(with_numba, EVENT.numeric))
    assert decoder.decode(batch).column("reason").to_pylist()[:2] == [Reason.TOMBSTONE, Reason.ACCEPTED]


def test_where_the_kernels_do_not_compile_the_library_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: int) -> None:
        raise NumbaError("no such instruction")

    monkeypatch.setattr("streamlearn.belt.scan.scan_rows", refuse)
    assert JsonDecoder(EVENT, "binary").engine == "msgspec"


def test_few_messages_import_no_numba() -> None:
    code = (
        "import sys\n"
        "from streamlearn.belt.decode import JsonDecoder\n"
        "from streamlearn.config import Event\n"
        "decoder = JsonDecoder(Event(numeric=('x',)), 'binary')\n"
        "print('numba' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_batch_that_is_not_filled_in_holds_no_wild_texts() -> None:
    rows, doubtful_B = scan_rows_of(EVENT, "binary", array_of([b'{"c":"abc","c":1}'] * 3))
    assert doubtful_B.all()
    assert len(rows) == 3
    batch = scanner_of(EVENT, "binary").scan(array_of([b"{"] * 3), np.zeros(3, np.int64))
    assert all(len(column) == 3 for column in batch.columns())


def test_names_that_differ_in_any_one_byte_have_places_of_their_own() -> None:
    """Names as people give them: were their places the same, each message would pay for it."""
    for shape in ('"x_{:02d}":', "{:02d}_______", "a{:02d}bcdef", "value_of_sensor_{:02d}", "_{:06d}"):
        names = [shape.format(number).encode() for number in range(64)]
        low_bytes = [low_byte_of_hash(name) for name in names]
        assert max(low_bytes.count(each) for each in low_bytes) <= 4, (
            shape
        )  # of 64 in 256 places, by chance 3


def low_byte_of_hash(name: bytes) -> int:
    padded = np.frombuffer(name + bytes(16), np.uint8)
    return int(hash_bytes(padded.ctypes.data, len(name))) % 256
