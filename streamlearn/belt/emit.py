"""What leaves the belt: predictions as JSON records, rejected events as dead letters.

Records are written from columns by a kernel. Numbers are the shortest decimals that read back as the same
float64 (Arrow writes them); a number that JSON cannot hold is null. For the other form of predictions see
``emit_arrow.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.emit_kernels import FIXED_BYTES, Byte_N, write_records
from streamlearn.belt.messages.arrow import message_of_row
from streamlearn.belt.shard import Outcome
from streamlearn.contracts import DeadLetter
from streamlearn.emission import Records
from streamlearn.events import ROW, WHOLE, Bool_B, Code_B, Float_B, Int_B, Predictions, Reason

_NO_ROWS: Code_B = np.zeros(0, np.int32)
_NO_ROWS.setflags(write=False)  # as Arrow's columns are: a kernel is compiled for either


class _Texts(NamedTuple):
    """Texts as Arrow has them: where each ends (and the first begins), and their bytes."""

    ends: Int_B
    data: Byte_N
    is_there: Bool_B

    @property
    def longest(self) -> int:
        return int(np.diff(self.ends).max(initial=0))


def prediction_records(outcome: Outcome, stream: str, topics: tuple[str, ...]) -> Iterator[Records]:
    """Yield, for each model, one record an accepted event, under the event's own key.

    A value is ``{"stream", "topic", "partition", "offset", "id", "event_time", "model", "version",
    "prediction", "probabilities"}``; ``id``, ``prediction`` and ``probabilities`` are null where there is
    none. ``event_time`` is ISO 8601 in UTC. Where a message holds many events, ``"row"`` follows
    ``"offset"``.
    """
    accepted = outcome.accepted
    if not accepted.num_rows:
        return
    # What the kernel takes for granted: it looks up whatever it is given.
    assert accepted.column("topic").to_numpy().max() < len(topics)
    heads = _texts(tuple(f'{{"stream":"{stream}","topic":"{topic}","partition":' for topic in topics))
    ids = _texts_of(accepted.column("id"))
    has_rows = ROW in accepted.schema.names
    places = (
        accepted.column("topic").to_numpy(),
        heads.ends,
        heads.data,
        accepted.column("partition").to_numpy(),
        accepted.column("offset").to_numpy(),
        accepted.column(ROW).to_numpy() if has_rows else _NO_ROWS,
        *ids,
        accepted.column("time_us").to_numpy(),
    )
    head_bytes = FIXED_BYTES + heads.longest
    for model, said in outcome.predictions.items():
        assert len(said) == accepted.num_rows
        values = _values(
            said, model, outcome.class_tokens, places, head_bytes, int(ids.ends[-1] - ids.ends[0])
        )
        yield Records(model, accepted.num_rows, accepted.column("key"), values)


def _values(
    said: Predictions,
    model: str,
    tokens: tuple[str, ...],
    places: tuple[Any, ...],
    head_bytes: int,
    ids_bytes: int,
) -> pa.LargeBinaryArray:
    is_class = said.class_B is not None
    share_BC = said.probability_BC if is_class else None
    assert share_BC is None or share_BC.shape[1] == len(tokens), "a share for each class"
    assert said.class_B is None or said.class_B.max() < len(tokens)
    classes = _texts(tokens)
    # A name is a label as text, whatever it came in as.
    quoted = (token if token.startswith('"') else f'"{token}"' for token in tokens)
    names = _texts(tuple(f"{name}:" for name in quoted) if share_BC is not None else ())
    numbers = _numbers(_flat(said, share_BC))
    model_piece = np.frombuffer(f'","model":"{model}"'.encode(), np.uint8)
    # Every name may come with a comma or a bracket, and so may a predicted label.
    names_bytes = int(names.ends[-1]) + len(names.ends)
    room = (head_bytes + len(model_piece) + classes.longest + names_bytes) * len(said)
    records = np.empty(room + ids_bytes + len(numbers.data), np.uint8)
    ends = np.empty(len(said) + 1, np.int64)
    write: Callable[..., int] = (
        write_records  # too many columns to be told one by one where they come in tuples
    )
    nbytes = write(
        *places,
        model_piece,
        said.version_B,
        said.class_B if said.class_B is not None else _NO_ROWS,
        classes.ends,
        classes.data,
        names.ends,
        names.data,
        *numbers,
        ends,
        records,
    )
    assert nbytes <= len(records), "there is room for the longest record"
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(records[:nbytes])]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(said), buffers)


def _flat(said: Predictions, share_BC: Float_B | None) -> Float_B:
    if share_BC is not None:
        return share_BC.ravel()
    return np.zeros(0) if said.value_B is None else said.value_B


def _numbers(number_B: Float_B) -> _Texts:
    """Each number as text; not there where JSON has no such number."""
    texts = pa.array(number_B, mask=~np.isfinite(number_B)).cast(pa.large_string())
    minus_zero_B = np.signbit(number_B) & (number_B == 0)
    if minus_zero_B.any():  # Arrow writes -0, which who reads integers as such reads as 0
        texts = pc.if_else(pa.array(minus_zero_B), pa.scalar("-0.0", pa.large_string()), texts)
    return _texts_of(texts)


@lru_cache(maxsize=64)  # the same for nearly every batch
def _texts(texts: tuple[str, ...]) -> _Texts:
    return _texts_of(pa.array(texts, pa.large_string()))


def _texts_of(column: pa.LargeStringArray) -> _Texts:
    _, ends, data = column.buffers()
    end_B = np.zeros(1, np.int64) if ends is None else np.frombuffer(ends, np.int64)
    end_B = end_B[column.offset :][: len(column) + 1]
    data_N = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return _Texts(end_B, data_N, column.is_valid().to_numpy(zero_copy_only=False))


def dead_letters(outcome: Outcome, topics: tuple[str, ...]) -> list[DeadLetter]:
    """Return the rejected events of an outcome, each with its reason and its bytes as they were.

    Of a message of many events that was rejected as a whole, its bytes; of one event in it, a message that
    holds that event alone.
    """
    reason_B = outcome.events.column("reason").to_numpy()
    rejected = outcome.events.filter(pa.array(reason_B != Reason.ACCEPTED))
    is_of_many = ROW in rejected.schema.names
    columns = [
        "topic",
        "partition",
        "offset",
        "reason",
        "detail",
        "key",
        *([ROW] if is_of_many else ["value"]),
    ]
    contents = _contents(rejected) if is_of_many else None
    return [
        DeadLetter(
            topic=topics[row["topic"]],
            partition=row["partition"],
            offset=row["offset"],
            reason=Reason(row["reason"]).label,
            detail=row["detail"] or "",
            key=row["key"],
            value=row["value"] if contents is None else contents[number],
            row=None if row.get(ROW, WHOLE) == WHOLE else row[ROW],
        )
        for number, row in enumerate(rejected.select(columns).to_pylist())
    ]


def _contents(rejected: pa.RecordBatch) -> list[bytes | None]:
    """Return what a letter holds of each rejected event of a message of many."""
    values = rejected.column("value")
    codes = values.indices.to_pylist()
    messages = {code: values.dictionary[code].as_py() for code in set(codes)}
    return [
        messages[code] if row == WHOLE else message_of_row(messages[code], row)
        for code, row in zip(codes, rejected.column(ROW).to_pylist(), strict=True)
    ]
