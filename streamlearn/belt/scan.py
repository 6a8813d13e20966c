"""JSON messages to columns by compiled kernels, without the interpreter's lock, for the rows they are sure of.

The scanner never rejects: a row that it does not take is **doubtful** and goes to the library route, which
is the definition. A row that it takes has the values that the library route would give it, bit for bit.
Importing this module imports Numba; a scanner is made with its kernels compiled, or loaded from disk.

Upholds: the scanner holds the contract and nothing else; it learns nothing from one batch for the next, so
what it takes and what it says depends on no history (`replay_equals_run`). It may be shared by threads.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numba import config
from numba.core.errors import NumbaError, NumbaWarning

from streamlearn.belt.decode_fields import Rule
from streamlearn.belt.scan_columns import ScannedBatch
from streamlearn.belt.scan_intrinsics import PADDING_BYTES
from streamlearn.belt.scan_names import NamesTable
from streamlearn.belt.scan_rows import scan_rows
from streamlearn.belt.scan_rules import (
    CATEGORY,
    CLASS,
    COLUMN,
    EPOCH_TIME,
    ID,
    ISO_TIME,
    LAST,
    NUMBER,
    REQUIRED,
    ROLE,
    RULE_BYTES,
    SAME_FIELD,
    SCALE,
    TARGET,
    TOKEN,
    Plan,
)
from streamlearn.belt.scan_runs import MIXED
from streamlearn.events import Int_B

if sys.byteorder != "little":
    raise ImportError("the kernels want a word's first byte in its lowest bits")
if config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("NUMBA_DISABLE_JIT is set")


class Scanner:
    """Reads the messages that are written as most messages are.

    Parameters
    ----------
    ruled
        The contract, in the order of checks (``decode_fields.rules``).
    classes
        The tokens of the classes that a label may be (``decode_fields.class_tokens``); None: any.
    time_scale
        Microseconds in a unit of an event time that is a number; None: it is text.
    typed
        The typed columns of the event schema, in order.
    message_bytes_max
        A longer message is doubtful, in bytes.

    Raises
    ------
    ImportError
        Where the kernels cannot be compiled: read by another route.

    >>> from streamlearn.belt.decode_fields import class_tokens, rules, time_scale
    >>> from streamlearn.config import Event
    >>> from streamlearn.events import RAW_SCHEMA, event_schema
    >>> event = Event(label="y", numeric=("x",))
    >>> typed = list(event_schema(("x",), (), real_label=False))[len(RAW_SCHEMA):]
    >>> scanner = Scanner(rules(event, "binary"), class_tokens(event, "binary"), time_scale(event), typed, 1000)
    >>> messages = [b'{"x": 2, "y": true}', b'{"x": "two"}', b'{ "y":1, "z":[0], "x":0.1 }']
    >>> batch = scanner.scan(pa.array(messages, pa.large_binary()), np.zeros(3, np.int64))
    >>> batch.doubtful_B.tolist()
    [False, True, False]
    """

    def __init__(
        self,
        ruled: tuple[Rule, ...],
        classes: Collection[str] | None,
        time_scale: int | None,
        typed: list[pa.Field],
        message_bytes_max: int,
    ) -> None:
        self._typed = typed
        self._message_bytes_max = message_bytes_max
        fields = list(dict.fromkeys(rule.field for rule in ruled))
        self._fields = NamesTable(fields)
        self._classes = NamesTable(sorted(classes or ()))
        self._texts: list[str] = []
        self._rules = np.zeros((len(ruled), RULE_BYTES // 8), np.int64)
        self._first_rules = np.full(len(fields), LAST, np.int64)
        self._places = np.full(len(fields), MIXED, np.int64)
        numbers = 0
        for rule, entry in zip(ruled, self._rules, strict=True):
            role, field = _role(rule, classes, time_scale), fields.index(rule.field)
            entry[ROLE // 8] = role
            entry[COLUMN // 8] = numbers if role == NUMBER else len(self._texts)
            entry[SAME_FIELD // 8] = self._first_rules[field]
            entry[REQUIRED // 8] = rule.missing is not None
            entry[SCALE // 8] = time_scale or 0
            is_alone = self._first_rules[field] == LAST
            self._places[field] = 8 * numbers if role == NUMBER and is_alone else MIXED
            self._first_rules[field] = entry.ctypes.data
            if role == NUMBER:
                numbers += 1
            elif CATEGORY <= role <= ID:
                self._texts.append(rule.column)
        plan = Plan(
            self._first_rules.ctypes.data,
            self._places.ctypes.data,
            len(fields),
            self._fields.address,
            self._fields.slots,
            self._classes.address,
            self._classes.slots,
        )
        self._plan = np.array(plan, np.int64)
        self._compile()

    def _compile(self) -> None:
        try:
            with warnings.catch_warnings():
                # What Numba cannot keep on disk, the next start compiles again; nobody need act.
                warnings.filterwarnings("ignore", "Cannot cache", NumbaWarning)
                batch = self.scan(pa.array([b"{}"] * 2, pa.large_binary()), np.zeros(2, np.int64))
                batch.columns()
        except NumbaError as error:
            raise ImportError("the scanner's kernels do not compile here") from error

    def scan(self, values: pa.LargeBinaryArray, timestamps_us: Int_B) -> ScannedBatch:
        """Return the rows as far as they are sure.

        Parameters
        ----------
        values
            The messages, of any number.
        timestamps_us
            Each record's timestamp in microseconds since 1970: its time where the contract names none.
        """
        count = len(values)
        offsets = _offsets(values)
        batch = ScannedBatch(self._typed, self._texts, timestamps_us)
        doubtful_B = batch.doubtful_B
        np.greater(np.diff(offsets), self._message_bytes_max, out=doubtful_B)
        if values.null_count:
            doubtful_B |= values.is_null().to_numpy(zero_copy_only=False)
        data = values.buffers()[2]
        if count == 0 or data is None:
            doubtful_B[:] = True  # no bytes: nothing that could be an object
            return batch
        # The kernels read a little beyond a message. What would lead them out of the buffer is copied.
        padded = int(np.searchsorted(offsets[1:], data.size - PADDING_BYTES, side="right"))
        targets = batch.targets(len(self._first_rules))
        if padded:
            scan_rows(data.address, offsets.ctypes.data, 0, padded, self._plan.ctypes.data, targets)
        if padded < count:
            start, stop = offsets[padded], offsets[-1]
            tail = np.zeros(stop - start + PADDING_BYTES, np.uint8)
            tail[: stop - start] = np.frombuffer(data, np.uint8)[start:stop]
            base = tail.ctypes.data - int(start)
            scan_rows(base, offsets.ctypes.data, padded, count, self._plan.ctypes.data, targets)
            batch.keep(tail)
        batch.keep(data)
        return batch


def _role(rule: Rule, classes: Collection[str] | None, time_scale: int | None) -> int:
    match rule.role:
        case "number":
            return NUMBER
        case "category":
            return CATEGORY
        case "id":
            return ID
        case "time":
            return ISO_TIME if time_scale is None else EPOCH_TIME
        case "label":
            if str not in rule.kinds:
                return TARGET
            return TOKEN if classes is None else CLASS


def _offsets(values: pa.LargeBinaryArray) -> Int_B:
    """Return where the messages begin and end in their buffer."""
    count = len(values)
    if count == 0:
        return np.zeros(1, np.int64)
    return np.frombuffer(values.buffers()[1], np.int64)[values.offset :][: count + 1]
