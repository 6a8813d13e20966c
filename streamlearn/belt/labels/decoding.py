"""Decodes events and labels, each by its own contract, to rows of one schema: the topic says which a row is.

Upholds: decoding is stateless and pure (`reads_are_pure`), so how a sequence is cut into batches shows in no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa

from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.rejecting import rejected
from streamlearn.config import Event, Labels, Task
from streamlearn.events import Reason, absent

RUNS_MAX = 4  # of rows of one topic, that are decoded each by itself: more of them are copied together first


def label_contract(event: Event, labels: Labels) -> Event:
    """Return the contract of a label message: an event without features.

    >>> event = Event(id="flight", numeric=("distance",))
    >>> contract = label_contract(event, Labels(id="of", label="late", time="landed_at", wait=60))
    >>> contract.id, contract.label, contract.time, contract.numeric
    ('of', 'late', 'landed_at', ())
    """
    return event.model_copy(
        update={
            "id": labels.id,
            "label": labels.label,
            "time": labels.time,
            "time_format": labels.time_format,
            "numeric": (),
            "categorical": (),
            "missing": "zero",
        }
    )


def settled_by_default(event: Event, task: Task, labels: Labels) -> Event:
    """Return the event contract with the form of its classes settled where ``on_expiry`` does.

    A default that is learned before the first label must not change how the first predictions are written.
    """
    default = labels.default_label
    if task != "binary" or event.classes is not None or default is None:
        return event
    return event.model_copy(update={"classes": (False, True) if isinstance(default, bool) else (0, 1)})


class TopicDecoder:
    """Decodes rows by their topic. Stateless; may be shared by threads.

    Parameters
    ----------
    events, labels
        What decodes each.
    label_topic
        What the ``topic`` column says of labels.
    """

    def __init__(self, events: JsonDecoder, labels: JsonDecoder, label_topic: int) -> None:
        self.schema: pa.Schema = events.schema
        self._events = events
        self._labels = labels
        self._label_topic = label_topic

    @property
    def engine(self) -> Literal["scanner", "msgspec"]:
        """What decodes events in batches; see ``JsonDecoder.engine``."""
        return self._events.engine

    def decode(self, raw: pa.RecordBatch) -> pa.RecordBatch:
        """Return the same rows with typed columns beside the bytes: those of a topic in their order.

        Between topics there is no order before the merge makes one. A label message without a label is rejected.
        """
        return pa.concat_batches(self.decode_apart(raw))

    def decode_apart(self, raw: pa.RecordBatch) -> Sequence[pa.RecordBatch]:
        """As ``decode``, events and labels in batches of their own."""
        label_B = raw.column("topic").to_numpy() == self._label_topic
        turns = np.flatnonzero(label_B[1:] != label_B[:-1]) + 1
        if len(turns) < RUNS_MAX:
            ends = pairwise([0, *turns.tolist(), raw.num_rows])
            parts = [(raw.slice(start, end - start), bool(label_B[start:end].any())) for start, end in ends]
        else:
            parts = [(raw.filter(pa.array(label_B == is_label)), is_label) for is_label in (False, True)]
        return [
            self._decode_labels(part) if is_label else self._events.decode(part) for part, is_label in parts
        ]

    def _decode_labels(self, raw: pa.RecordBatch) -> pa.RecordBatch:
        decoded = self._labels.decode(raw)
        accepted_B = decoded.column("reason").to_numpy() == Reason.ACCEPTED
        without = np.flatnonzero(
            accepted_B & decoded.column("label").is_null().to_numpy(zero_copy_only=False)
        )
        if len(without):
            decoded = rejected(decoded, without, Reason.BAD_LABEL, "the label must have a value")
        columns = [
            decoded.column(field.name) if field.name in decoded.schema.names else absent(field, raw.num_rows)
            for field in self.schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)
