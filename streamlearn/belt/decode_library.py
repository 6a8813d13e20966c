"""Messages to typed columns by libraries: any message, each on its own.

Every message is parsed by a typed parser made for the contract's fields (msgspec), so no message can shift,
hide or spoil another. The rows then turn into columns a field at a time. A row of which this route is not
sure goes to the exact route (``decode_exact``), which is the definition; a batch of nothing but bad messages
costs a constant times its bytes.

Why not one of the columnar JSON readers, which see a batch as one text: of two equal keys polars keeps the
first and everybody else the last, its text columns forget whether they read ``"1"`` or ``1``, and one bad
line fails them all. Parsing by message costs the same (2.2 us for 20 floats; polars 1.9 before any guard),
but holds the interpreter's lock, for about 2 ms at a time on a batch of 5,000.

Upholds: decoding is stateless and pure (`reads_are_pure`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Annotated, Any, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.decode_exact import NESTING_MAX, ExactDecoder, Rejected
from streamlearn.belt.decode_fields import TEXT_BYTES_MAX, Refused, Rule
from streamlearn.events import NUMERIC, Bool_B, Float_B, Int_B, Reason, absent, numeric_column

# Below this many messages the fixed cost of a column a field outweighs the exact route (measured).
_EXACT_BELOW = 16

# Messages parsed in one call, which holds the interpreter's lock: about half a millisecond. Where one of
# them is bad, these are parsed again one by one.
_MESSAGES_A_CALL = 512

_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class LibraryDecoder:
    """Decodes messages without compiled code of our own. Stateless; may be shared by threads.

    Parameters
    ----------
    ruled
        The contract, in the order of checks (``decode_fields.rules``).
    typed
        The typed columns of the event schema, in order.
    message_bytes_max
        A longer message is rejected, in bytes.
    """

    def __init__(self, ruled: tuple[Rule, ...], typed: list[pa.Field], message_bytes_max: int) -> None:
        self._rules = ruled
        self._typed = typed
        self._types = {field.name: field.type for field in typed}
        self._numbers = [rule.column for rule in ruled if rule.role == "number"]
        self._message_bytes_max = message_bytes_max
        self._exact = ExactDecoder(ruled, message_bytes_max)
        self._parser = _parser(ruled)

    def columns(self, values: pa.LargeBinaryArray, timestamps_us: Int_B) -> list[pa.Array]:
        """Return the typed columns of messages, of any number; never raises on any bytes."""
        messages: list[bytes | None] = values.to_pylist()
        if self._parser is None or len(messages) < _EXACT_BELOW:
            return self._slow_columns(messages, timestamps_us)
        return self._columns(values, messages, timestamps_us)

    def _columns(
        self, values: pa.LargeBinaryArray, messages: list[bytes | None], timestamps_us: Int_B
    ) -> list[pa.Array]:
        """Return the typed columns, with the rows that are in doubt decoded by the exact route.

        1. Leave out what is not worth parsing.
        2. Parse the rest, each message on its own.
        3. Turn the fields into columns.
        4. Put the rows that steps 1 to 3 left in doubt in their places.
        """
        # Step 1.
        fit_B = self._fit(values, messages)
        # Step 2.
        parsed, doubtful_B = self._parse(messages, fit_B)
        # Step 3.
        fast = self._fast_columns(parsed, timestamps_us, doubtful_B)
        # Step 4.
        doubtful = np.flatnonzero(doubtful_B)
        if not len(doubtful):
            return fast
        slow = self._slow_columns([messages[i] for i in doubtful], timestamps_us[doubtful])
        order_B = np.arange(len(messages))
        order_B[doubtful] = len(messages) + np.arange(len(doubtful))
        order = pa.array(order_B)
        return [pa.concat_arrays(pair).take(order) for pair in zip(fast, slow, strict=True)]

    def _fit(self, values: pa.LargeBinaryArray, messages: list[bytes | None]) -> Bool_B:
        """Return which messages are present, small, flat and UTF-8, by cheap tests that may say no to more."""
        offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset :][: len(values) + 1]
        fit_B: Bool_B = np.diff(offsets) <= self._message_bytes_max
        if values.null_count:
            fit_B &= values.is_valid().to_numpy(zero_copy_only=False)
        try:
            values.cast(pa.large_string())
        except pa.ArrowInvalid:
            # The typed parser skips fields that nobody asked for without looking at their bytes.
            fit_B &= [message is not None and _is_utf8(message) for message in messages]
        if _may_nest_too_deep(values.buffers()[2], offsets):
            fit_B &= [message is not None and _opens_few(message) for message in messages]
        return fit_B

    def _parse(self, messages: list[bytes | None], fit_B: Bool_B) -> tuple[list[msgspec.Struct], Bool_B]:
        """Return a parsed message for each row (an empty one where none could be had), and where."""
        assert self._parser is not None
        decode = self._parser.decode
        nothing = decode(b"{}")
        # What is not fit is never parsed, and null is never fit.
        documents = cast(
            "list[bytes]",
            messages
            if fit_B.all()
            else [message if fit else b"{}" for message, fit in zip(messages, fit_B.tolist(), strict=True)],
        )
        doubtful_B = ~fit_B
        parsed: list[msgspec.Struct] = []
        for start in range(0, len(documents), _MESSAGES_A_CALL):
            some = documents[start : start + _MESSAGES_A_CALL]
            try:
                parsed += list(map(decode, some))
            except msgspec.DecodeError:
                for i, document in enumerate(some, start):
                    try:
                        parsed.append(decode(document))
                    except msgspec.DecodeError:
                        parsed.append(nothing)
                        doubtful_B[i] = True
        assert len(parsed) == len(messages), "row i is message i"
        return parsed, doubtful_B

    def _fast_columns(
        self, parsed: list[msgspec.Struct], timestamps_us: Int_B, doubtful_B: Bool_B
    ) -> list[pa.Array]:
        """Return the typed columns of parsed messages; mark in ``doubtful_B`` the rows they are wrong for."""
        fields = dict(
            zip(
                _field_names(self._rules),
                zip(*map(msgspec.structs.astuple, parsed), strict=True),
                strict=True,
            )
        )
        count = len(parsed)
        columns: dict[str, pa.Array] = {
            "time_us": pa.array(timestamps_us),
            "reason": pa.array(np.full(count, Reason.ACCEPTED, np.uint8)),
        }
        numbers: dict[str, Float_B] = {}
        for rule in self._rules:
            if rule.role == "number":
                numbers[rule.column] = number_B = _numbers(fields[rule.field])
                if rule.missing is not None:
                    doubtful_B |= np.isnan(number_B)
                continue
            column = _column(rule, fields[rule.field], self._types[rule.column], doubtful_B)
            if rule.missing is not None and column.null_count:
                doubtful_B |= column.is_null().to_numpy(zero_copy_only=False)
            columns[rule.column] = column
        if numbers:
            columns[NUMERIC] = numeric_column(np.stack(list(numbers.values()), axis=1))
        return [
            columns[field.name] if field.name in columns else absent(field, count) for field in self._typed
        ]

    def _slow_columns(self, messages: Sequence[bytes | None], timestamps_us: Int_B) -> list[pa.Array]:
        """Return the typed columns, each row as the exact route says."""
        rows: list[dict[str, Any]] = []
        for message, timestamp_us in zip(messages, timestamps_us.tolist(), strict=True):
            row = self._exact.decode(message)
            if isinstance(row, Rejected):
                row = {"reason": row.reason, "detail": row.detail}
            rows.append({"time_us": timestamp_us, "reason": Reason.ACCEPTED, **row})
        numbers = [[row.get(name) for name in self._numbers] for row in rows]
        numeric_BF = np.array(numbers, np.float64).reshape(len(rows), len(self._numbers))
        return [
            numeric_column(numeric_BF)
            if field.name == NUMERIC
            else pa.array([row.get(field.name) for row in rows], field.type)
            for field in self._typed
        ]


def _parser(ruled: tuple[Rule, ...]) -> msgspec.json.Decoder[Any] | None:
    """Return a parser that admits just the types under which every rule of a field may accept it.

    None where msgspec cannot name the fields (a quote, a backslash or a control character in a name).
    """
    names = _field_names(ruled)
    if any(character in '"\\' or character < " " for name in names for character in name):
        return None
    struct = msgspec.defstruct(
        "Fields",
        [(f"field_{i}", _admitted(name, ruled), None) for i, name in enumerate(names)],
        rename={f"field_{i}": name for i, name in enumerate(names)},
        gc=False,  # holds nothing that could point back at it
    )
    return msgspec.json.Decoder(struct)


def _admitted(name: str, ruled: tuple[Rule, ...]) -> Any:
    roles = {rule.role for rule in ruled if rule.field == name}
    kinds = reduce(operator.and_, (rule.kinds for rule in ruled if rule.field == name))
    if roles == {"number"} or (roles == {"label"} and str not in kinds):
        kinds -= {int}  # then msgspec reads integers straight into floats, of any size that float64 holds
    # Integers beyond 64 bits are left to the exact route.
    types: dict[type, Any] = {str: str, int: _Integer, float: float, bool: bool}
    return reduce(operator.or_, (types[kind] for kind in types if kind in kinds), None)


def _field_names(ruled: tuple[Rule, ...]) -> list[str]:
    return list(dict.fromkeys(rule.field for rule in ruled))


def _column(rule: Rule, values: tuple[Any, ...], dtype: pa.DataType, doubtful_B: Bool_B) -> pa.Array:
    """Return one column; mark in ``doubtful_B`` the rows whose value the rule may refuse."""
    if dtype == pa.float64():
        return pa.array(_numbers(values), from_pandas=True)
    if rule.role == "time":
        return pa.array(_by_distinct(values, rule.read, doubtful_B), dtype)
    kinds = set(map(type, values)) - {type(None)}
    if rule.role == "category" and kinds <= {str}:
        return _bounded(pa.array(values, dtype), doubtful_B)
    # One JSON token a value. Tokens tell True, 1 and 1.0 apart, which a dict takes for one key.
    tokens = msgspec.json.Encoder().encode_lines(values).decode().split("\n")[:-1]
    if rule.role == "id" or (rule.role == "category" and kinds <= {int, bool}):
        column = _bounded(pa.array(tokens, dtype), doubtful_B)
        return pc.replace_with_mask(column, pc.equal(column, "null"), pa.scalar(None, dtype))
    return pa.array(_by_distinct(tokens, partial(_read_token, rule), doubtful_B), dtype)


def _numbers(values: tuple[Any, ...]) -> Float_B:
    """Return numbers, NaN where there is none: JSON has no NaN. The parser admitted nothing but numbers."""
    return np.array(values, np.float64)


def _read_token(rule: Rule, token: str) -> Any:
    value = msgspec.json.decode(token)
    return None if value is None else rule.read(value)


def _by_distinct(values: Sequence[Any], read: Callable[[Any], Any], doubtful_B: Bool_B) -> list[Any]:
    """Return ``read`` of each value, called once for each distinct one; None, and a mark, where it refuses."""
    known: dict[Any, Any] = {None: None}
    refused = set()
    for value in set(values) - {None}:
        try:
            known[value] = read(value)
        except Refused:
            known[value] = None
            refused.add(value)
    if refused:
        doubtful_B |= [value in refused for value in values]
    return list(map(known.__getitem__, values))


def _bounded(column: pa.Array, doubtful_B: Bool_B) -> pa.Array:
    lengths = pc.binary_length(column).fill_null(0).to_numpy()
    if lengths.max() > TEXT_BYTES_MAX:
        doubtful_B |= lengths > TEXT_BYTES_MAX
    return column


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def _opens_few(message: bytes) -> bool:
    return message.count(b"[") + message.count(b"{") <= NESTING_MAX


def _may_nest_too_deep(data: pa.Buffer | None, offsets: Int_B) -> bool:
    """Return False only where no message can have more than ``NESTING_MAX`` brackets open.

    A message that starts with a bracket has that one at least; what is left over, all in one message,
    would have to make it too deep. So flat messages cost one look at the bytes of the batch as a whole.
    """
    if data is None:
        return False
    characters = np.frombuffer(data, np.uint8)
    starts = offsets[:-1][np.diff(offsets) > 0]
    started = np.count_nonzero(characters[starts] == ord("{"))
    within = characters[offsets[0] : offsets[-1]]
    opened = np.count_nonzero(within == ord("{")) + np.count_nonzero(within == ord("["))
    return bool(opened - started >= NESTING_MAX)
