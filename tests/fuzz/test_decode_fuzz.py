"""A short run of the fuzz target over decode by each engine; and what it would find, were it there."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from decode_check import CONTRACTS, DecodeCheck
from fuzz_decode import Fuzz, again, by_chance
from hostile_messages import some_messages

from streamlearn.belt.decode import JsonDecoder
from streamlearn.events import NUMERIC, Reason, numeric_column, numeric_matrix

HERE = Path(__file__).parent
INPUTS = 6000


def test_every_message_is_its_own_row_or_rejected_with_a_reason(tmp_path: Path) -> None:
    fuzz = Fuzz(tmp_path)
    by_chance(fuzz, seed=20, seconds=60.0, inputs=INPUTS)
    done = fuzz.finish()
    assert done["inputs"] >= INPUTS
    of_learning = {Reason.NON_FINITE_LEARNING, Reason.LEARNER_FAILED, Reason.DUPLICATE_ID}
    of_arrow = {Reason.INVALID_ARROW, Reason.WRONG_COLUMN_TYPE, Reason.TOO_MANY_EVENTS}
    of_decoding = set(Reason) - of_learning - of_arrow
    assert set(done["said"]) == {reason.label for reason in of_decoding}
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python"
)
def test_libfuzzer_leads_the_same_target(tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            str(HERE / "fuzz_decode.py"),
            "--engine=atheris",
            "--inputs=1500",
            f"--failures={tmp_path}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    done = json.loads(ran.stdout.splitlines()[-1])
    assert done["inputs"] == sum(done["said"].values()) >= 1500


def _shifted(decoded: pa.RecordBatch) -> pa.RecordBatch:
    """Two rows have changed places; their bytes have not."""
    order = pa.array([1, 0, *range(2, decoded.num_rows)])
    columns = [
        column if field.name in ("offset", "timestamp_ms", "value") else column.take(order)
        for field, column in zip(decoded.schema, decoded.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=decoded.schema)


def _lost(decoded: pa.RecordBatch) -> pa.RecordBatch:
    return decoded.slice(1)


def _rounded(decoded: pa.RecordBatch) -> pa.RecordBatch:
    """The sign of a zero is lost."""
    at = decoded.schema.names.index(NUMERIC)
    plus = numeric_column(numeric_matrix(decoded.column(at)) + 0.0)
    return decoded.set_column(at, decoded.schema.field(at), plus)


@pytest.mark.parametrize("wrong", [_shifted, _lost, _rounded])
def test_a_decoder_that_errs_is_found_and_its_bytes_are_kept(
    wrong: Callable[[pa.RecordBatch], pa.RecordBatch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = JsonDecoder.decode
    monkeypatch.setattr(JsonDecoder, "decode", lambda self, raw: wrong(decode(self, raw)))
    fuzz = Fuzz(tmp_path)
    with pytest.raises((AssertionError, ValueError)):
        by_chance(fuzz, seed=3, seconds=60.0, inputs=INPUTS)
    [kept] = tmp_path.iterdir()
    with pytest.raises((AssertionError, ValueError)):
        again(Fuzz(tmp_path), kept)
    monkeypatch.undo()
    again(Fuzz(tmp_path), kept)


def test_an_exact_route_that_errs_is_found_by_the_independent_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """All routes agree where the definition itself is wrong: then Python's parser does not."""
    from streamlearn.belt import decode_exact

    why = decode_exact._why_no_document

    def lenient(text: str, objection: str) -> Any:
        return why(text, objection)._replace(reason=Reason.NOT_AN_OBJECT)

    monkeypatch.setattr(decode_exact, "_why_no_document", lenient)
    with pytest.raises(AssertionError, match="is no document"):
        DecodeCheck(*CONTRACTS[0]).check(some_messages(random.Random(1), 200))
