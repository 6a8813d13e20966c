"""Messages of many events (``event.format = "arrow"``): where they end in a batch of events.

Upholds `learned_once` where a message is the unit: its events share one offset, so none of its ends is the end
of a micro-batch but the last. Without the column ``LAST`` every event is a message.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamlearn.events import LAST, Bool_B, Int_B


def last_of_message(events: pa.RecordBatch, rows: Int_B | None = None) -> Int_B:
    """Return, for each of these rows (all by default), which of them is the last of its message. Messages are whole.

    >>> events = pa.RecordBatch.from_pydict({"last": [False, True, True, False, True]})
    >>> last_of_message(events).tolist(), last_of_message(events, np.array([0, 1, 3, 4])).tolist()
    ([1, 1, 2, 4, 4], [1, 1, 3, 3])
    """
    is_last_B = ends_of_messages(events)
    if rows is not None:
        is_last_B = is_last_B[rows]
    ends = np.flatnonzero(is_last_B)
    message_B: Int_B = np.cumsum(is_last_B) - is_last_B
    last_B: Int_B = ends[message_B]
    return last_B


def ends_of_messages(events: pa.RecordBatch) -> Bool_B:
    """Return which events end their message.

    >>> ends_of_messages(pa.RecordBatch.from_pydict({"offset": [7, 8]})).tolist()
    [True, True]
    """
    if LAST not in events.schema.names:
        return np.ones(events.num_rows, np.bool_)
    ends_B: Bool_B = events.column(LAST).to_numpy(zero_copy_only=False)
    return ends_B


def ends_with_message(events: pa.RecordBatch) -> bool:
    """Return whether a message ends with the last of these events."""
    return LAST not in events.schema.names or bool(events.column(LAST)[-1].as_py())


def whole_messages(events: pa.RecordBatch, events_max: int) -> int:
    """Return how many events to take: at most so many, if the first message is not longer, and whole messages.

    >>> events = pa.RecordBatch.from_pydict({"last": [False, False, True, True, False, True]})
    >>> [whole_messages(events, most) for most in (1, 3, 4, 5, 9)]
    [3, 3, 4, 4, 6]
    """
    if LAST not in events.schema.names:
        return min(events_max, int(events.num_rows))
    ends = np.flatnonzero(ends_of_messages(events)) + 1
    fitting = int(np.searchsorted(ends, events_max, side="right"))
    return int(ends[max(0, fitting - 1)])
