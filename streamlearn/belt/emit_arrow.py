"""Predictions as Arrow: one message is one record batch, of one model and one source partition.

The columns say what the fields of a JSON record say (``emit.py``), and ``key`` the event's own key, since a
message of many events has none. Types do not depend on the data, so that batches can be put together.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.messages.arrow import message_of
from streamlearn.belt.shard import Outcome
from streamlearn.emission import Records
from streamlearn.events import ROW, Int_B, Predictions

# Below what a broker takes by default (1 MB); a batch that is larger goes out in halves.
MESSAGE_BYTES_MAX = 512 * 1024

_NAME = pa.dictionary(pa.int8(), pa.utf8())
_SHARES = pa.map_(pa.utf8(), pa.field("value", pa.float64(), nullable=False))


def prediction_schema(*, is_class: bool, many: bool) -> pa.Schema:
    """Return the columns of a message.

    Parameters
    ----------
    is_class
        Labels are predicted, and not numbers.
    many
        Messages of the source hold many events, so a row belongs to an event's place.

    >>> prediction_schema(is_class=False, many=False).field("prediction").type
    DataType(double)
    """
    fields: list[tuple[str, pa.DataType]] = [
        ("stream", _NAME),
        ("topic", _NAME),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        *([(ROW, pa.int32())] if many else []),
        ("id", pa.utf8()),
        ("event_time", pa.timestamp("us", "UTC")),
        ("model", _NAME),
        ("version", pa.int64()),
        ("prediction", pa.utf8() if is_class else pa.float64()),
        ("probabilities", _SHARES),
        ("key", pa.binary()),
    ]
    nullable = ("id", "prediction", "probabilities", "key")
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in fields])


def prediction_batches(outcome: Outcome, stream: str, topics: tuple[str, ...]) -> Iterator[Records]:
    """Yield, for each model and source partition, messages of accepted events under the model's name."""
    accepted = outcome.accepted
    if not accepted.num_rows:
        return
    for topic, rows in _by_partition(accepted):
        own = accepted if len(rows) == accepted.num_rows else accepted.take(pa.array(rows))
        places = _places(own, stream, topics[topic])
        for model, said in outcome.predictions.items():
            columns = places | _said(said, rows, outcome.class_tokens)
            columns["model"] = _named(model, len(rows))
            schema = prediction_schema(is_class=said.class_B is not None, many=ROW in places)
            arrays = [_as(columns[field.name], field.type) for field in schema]
            messages = list(_messages(pa.RecordBatch.from_arrays(arrays, schema=schema)))
            keys = pa.array([model.encode()] * len(messages), pa.large_binary())
            yield Records(model, len(rows), keys, pa.array(messages, pa.large_binary()))


def _by_partition(accepted: pa.RecordBatch) -> Iterator[tuple[int, Int_B]]:
    topic_B = accepted.column("topic").to_numpy().astype(np.int64)
    source_B = (topic_B << 32) | accepted.column("partition").to_numpy()
    for source in np.unique(source_B).tolist():
        yield source >> 32, np.flatnonzero(source_B == source)


def _messages(batch: pa.RecordBatch) -> Iterator[bytes]:
    message = message_of(batch)
    if len(message) <= MESSAGE_BYTES_MAX or batch.num_rows == 1:
        yield message
        return
    half = batch.num_rows // 2
    yield from _messages(batch.slice(0, half))
    yield from _messages(batch.slice(half))


def _places(own: pa.RecordBatch, stream: str, topic: str) -> dict[str, pa.Array]:
    same = ("partition", "offset", "key", *([ROW] if ROW in own.schema.names else []))
    return {
        **{name: own.column(name) for name in same},
        "stream": _named(stream, own.num_rows),
        "topic": _named(topic, own.num_rows),
        "id": _without_quotes(own.column("id")),
        "event_time": pa.array(own.column("time_us").to_numpy().view("M8[us]")),
    }


def _named(name: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), pa.array([name], pa.utf8()))


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)


def _without_quotes(ids: pa.LargeStringArray) -> pa.Array:
    """Return ids as text; an integer and the text of its digits look alike."""
    if pc.any(pc.match_substring(ids, "\\")).as_py():
        return pa.array([None if each is None else text_of(each) for each in ids.to_pylist()], pa.utf8())
    return pc.utf8_trim(ids, '"')


def text_of(token: str) -> str:
    """Return a label or an id, given as JSON, as text.

    >>> text_of("true"), text_of('"AA"'), text_of("17")
    ('true', 'AA', '17')
    """
    return str(msgspec.json.decode(token)) if token.startswith('"') else token


def _said(said: Predictions, rows: Int_B, tokens: tuple[str, ...]) -> dict[str, pa.Array]:
    texts = pa.array([text_of(token) for token in tokens], pa.utf8())
    if said.class_B is None:
        assert said.value_B is not None
        number_B = said.value_B[rows]
        prediction = pa.array(number_B, mask=~np.isfinite(number_B))
        shares = pa.nulls(len(rows), _SHARES)
    else:
        class_B = said.class_B[rows]
        prediction = texts.take(pa.array(class_B, mask=class_B < 0))
        shares = _shares(said, rows, texts)
    return {"version": pa.array(said.version_B[rows]), "prediction": prediction, "probabilities": shares}


def _shares(said: Predictions, rows: Int_B, texts: pa.Array) -> pa.Array:
    """Return label and share of every class that has one; null where none has."""
    if said.probability_BC is None:
        return pa.nulls(len(rows), _SHARES)
    share_BC = said.probability_BC[rows]
    there_BC = np.isfinite(share_BC)
    counts_B = there_BC.sum(axis=1)
    ends = np.concatenate(([0], np.cumsum(counts_B))).astype(np.int32)
    labels = texts.take(pa.array(np.nonzero(there_BC)[1]))
    validity = pa.array(counts_B == 0) if (counts_B == 0).any() else None
    return pa.MapArray.from_arrays(
        pa.array(ends), labels, pa.array(share_BC[there_BC]), type=_SHARES, mask=validity
    )
