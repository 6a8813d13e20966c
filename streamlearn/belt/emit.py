"""What leaves the belt: predictions as JSON records, rejected events as dead letters.

Records are written by joining columns of text (Arrow, no Python per event). Numbers are the shortest
decimals that read back as the same float64.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.shard import Outcome
from streamlearn.contracts import DeadLetter
from streamlearn.events import Float_B, Predictions, Reason

NULL = pa.scalar("null", pa.large_string())


def prediction_records(
    outcome: Outcome, stream: str, topics: tuple[str, ...]
) -> Iterator[tuple[str, list[bytes | None], list[bytes]]]:
    """Yield, for each model, its name and one record an accepted event: keys (the events' own) and values.

    A value is ``{"stream", "topic", "partition", "offset", "id", "event_time", "model", "version",
    "prediction", "probabilities"}``; ``id``, ``prediction`` and ``probabilities`` are null where there is
    none. ``event_time`` is ISO 8601 in UTC.
    """
    accepted = outcome.accepted
    if not accepted.num_rows:
        return
    keys = accepted.column("key").to_pylist()
    topic_names = pa.array([f'"{topic}"' for topic in topics], pa.large_string())
    head = _join(
        f'{{"stream":"{stream}","topic":',
        topic_names.take(accepted.column("topic")),
        ',"partition":',
        _text(accepted.column("partition")),
        ',"offset":',
        _text(accepted.column("offset")),
        ',"id":',
        accepted.column("id").fill_null(NULL),
        ',"event_time":"',
        pa.array(np.datetime_as_string(accepted.column("time_us").to_numpy().view("M8[us]"), timezone="UTC")),
        '","model":"',
    )
    for model, said in outcome.predictions.items():
        values = _join(
            head,
            f'{model}","version":',
            _text(pa.array(said.version_B)),
            ',"prediction":',
            _prediction(said, outcome.class_tokens),
            ',"probabilities":',
            _probabilities(said, outcome.class_tokens),
            "}",
        )
        yield model, keys, values.cast(pa.large_binary()).to_pylist()


def _prediction(said: Predictions, tokens: tuple[str, ...]) -> pa.Array:
    if said.class_B is None:
        assert said.value_B is not None
        return _number(said.value_B)
    codes = pa.array(said.class_B, mask=said.class_B < 0)
    return pa.array(tokens, pa.large_string()).take(codes).fill_null(NULL)


def _probabilities(said: Predictions, tokens: tuple[str, ...]) -> pa.Array:
    """One object a row, ``{"false":0.75,"true":0.25}``; classes without a share are left out."""
    if said.probability_BC is None:
        return pa.array(["null"] * len(said), pa.large_string())
    # Each share ends in a comma, and the last comma goes: Arrow's own joining that skips nulls drops rows
    # that have nothing but nulls.
    nothing = pa.scalar("", pa.large_string())
    shares = []
    for token, share_B in zip(tokens, said.probability_BC.T, strict=True):
        name = token if token.startswith('"') else f'"{token}"'
        shares.append(_join(f"{name}:", _shortest(share_B), ",").fill_null(nothing))
    joined = pc.ascii_rtrim(_join("", *shares), ",")
    some_B = ~np.isnan(said.probability_BC).all(axis=1)
    return pc.if_else(pa.array(some_B), _join("{", joined, "}"), NULL)


def _shortest(number_B: Float_B) -> pa.Array:
    """Each number as text, null where it is NaN."""
    return _text(pa.array(number_B, mask=np.isnan(number_B)))


def _number(number_B: Float_B) -> pa.Array:
    return _shortest(number_B).fill_null(NULL)


def _text(column: pa.Array) -> pa.Array:
    return column.cast(pa.large_string())


def _join(*pieces: pa.Array | str) -> pa.Array:
    columns = [pa.scalar(piece, pa.large_string()) if isinstance(piece, str) else piece for piece in pieces]
    columns = [c.cast(pa.large_string()) for c in columns]
    return pc.binary_join_element_wise(*columns, pa.scalar("", pa.large_string()))


def dead_letters(outcome: Outcome, topics: tuple[str, ...]) -> list[DeadLetter]:
    """Return the rejected events of an outcome, each with its reason and its bytes as they were."""
    reason_B = outcome.events.column("reason").to_numpy()
    rejected = outcome.events.filter(pa.array(reason_B != Reason.ACCEPTED))
    columns = ["topic", "partition", "offset", "reason", "detail", "key", "value"]
    return [
        DeadLetter(
            topic=topics[row["topic"]],
            partition=row["partition"],
            offset=row["offset"],
            reason=Reason(row["reason"]).label,
            detail=row["detail"] or "",
            key=row["key"],
            value=row["value"],
        )
        for row in rejected.select(columns).to_pylist()
    ]
