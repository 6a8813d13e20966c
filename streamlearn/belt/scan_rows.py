"""The scanner's kernel: messages in, one value a row and column out, or the row is marked doubtful.

A row that is not doubtful was read to its last byte: it is one JSON object in UTF-8, none of its wanted keys
stands twice, and each wanted value is one that its rule admits, with the value that the rule gives it. What
a doubtful row left in the columns means nothing.

Upholds: a row's values and its doubt depend on its own bytes and the contract alone, whatever the rows before
it were (`replay_equals_run`).
"""

from __future__ import annotations

from streamlearn.belt.scan_intrinsics import load_byte, load_int, store_byte, store_int
from streamlearn.belt.scan_joints import END, NONE, field_of, next_joint
from streamlearn.belt.scan_rules import (
    DOUBTFUL,
    FIELDS,
    FIRST_RULES,
    JOINTS,
    JOINTS_BYTES,
    NAMES,
    NAMES_SLOTS,
    NUMBERS,
    PLACES,
    ROW_BYTES,
    SEEN,
    read_value,
    write_null,
)
from streamlearn.belt.scan_runs import scan_run
from streamlearn.belt.scan_values import skip_value
from streamlearn.native import kernel


@kernel
def scan_rows(base: int, offsets: int, first: int, stop: int, plan: int, targets: int) -> None:
    """Scan rows ``first:stop``; row i takes the bytes from ``base + offsets[i]`` to ``base + offsets[i + 1]``.

    ``plan`` and ``targets`` are the addresses of a ``Plan`` and of ``Targets``. ``PADDING_BYTES`` behind the
    last byte must be readable. Takes time linear in the bytes.
    """
    names, slots = load_int(plan + NAMES), load_int(plan + NAMES_SLOTS)
    fields, first_rules = load_int(plan + FIELDS), load_int(plan + FIRST_RULES)
    joints, joints_bytes = load_int(targets + JOINTS), load_int(targets + JOINTS_BYTES)
    seen, doubtful = load_int(targets + SEEN), load_int(targets + DOUBTFUL)
    places = load_int(plan + PLACES)
    numbers, row_bytes = load_int(targets + NUMBERS), load_int(targets + ROW_BYTES)
    end = base + load_int(offsets + 8 * first)
    for row in range(first, stop):
        position, end = end, base + load_int(offsets + 8 * (row + 1))
        if load_byte(doubtful + row):
            continue
        found = 0
        joint = joints
        while True:
            joint, position, read = scan_run(
                joint, position, end, row, places, seen, numbers + row * row_bytes
            )
            found += read
            joint, position = next_joint(joints, joints_bytes, names, slots, joint, position, end)
            if joint == NONE:
                break
            field = field_of(joint)
            if field >= 0:
                seen_in = seen + 8 * field
                if load_int(seen_in) == row:
                    joint = NONE
                    break
                store_int(seen_in, row)
                found += 1
                rule = load_int(first_rules + 8 * field)
                position = read_value(position, end, row, rule, plan, targets)
            elif field == END:
                break
            else:
                position = skip_value(position, end)
            if position < 0:
                joint = NONE
                break
        if joint == NONE or (found < fields and not _write_absent(row, fields, first_rules, seen, targets)):
            store_byte(doubtful + row, 1)


@kernel
def _write_absent(row: int, fields: int, first_rules: int, seen: int, targets: int) -> bool:
    """Write null for the fields that a row has not; return False where one of them may be required."""
    for field in range(fields):
        absent = load_int(seen + 8 * field) != row
        if absent and not write_null(row, load_int(first_rules + 8 * field), targets):
            return False
    return True
