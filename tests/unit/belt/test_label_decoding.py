"""Events and labels out of one poll: each decoded by its own contract, in batches of their own."""

from __future__ import annotations

import pytest
from labels_for_tests import TEXT
from numbers_for_tests import apart

from streamlearn.assemble import make_decoder
from streamlearn.belt.labels.decoding import RUNS_MAX, TopicDecoder
from streamlearn.config_file import parse
from streamlearn.connectors.raw import raw_batch
from streamlearn.events import Reason

EVENT, LABEL = 0, 1


@pytest.fixture
def decoder() -> TopicDecoder:
    made = make_decoder(parse(TEXT, [], {}))
    assert isinstance(made, TopicDecoder)
    return made


def polled(topics: list[int]):  # type: ignore[no-untyped-def]
    rows = range(len(topics))
    values = [
        b'{"of": "i%d", "y": true}' % row if topic == LABEL else b'{"id": "i%d", "number": %d, "parity": "p"}' % (row, row)
        for row, topic in enumerate(topics)
    ]  # fmt: skip
    return raw_batch(topics, [0] * len(rows), rows, [0] * len(rows), [None] * len(rows), values)


@pytest.mark.parametrize(
    ("topics", "batches"),
    [
        ([], 1),
        ([EVENT] * 3, 1),
        ([LABEL] * 3, 1),
        ([EVENT] * 40 + [LABEL] * 50, 2),
        ([LABEL, EVENT, EVENT, LABEL], 3),
        ([EVENT, LABEL] * RUNS_MAX, 2),
    ],
)
def test_each_row_is_decoded_once_by_its_contract(
    decoder: TopicDecoder, topics: list[int], batches: int
) -> None:
    """Also where a batch is a slice of what was polled, whose buffers begin before it."""
    apart_ = decoder.decode_apart(polled(topics))
    assert len(apart_) == batches
    rows = [row for batch in apart_ for row in apart(batch, ["number"]).to_pylist()]
    assert all(batch.schema == decoder.schema for batch in apart_)
    for topic in (EVENT, LABEL):
        assert [row["offset"] for row in rows if row["topic"] == topic] == [
            row for row, of in enumerate(topics) if of == topic
        ]
    for row in rows:
        assert row["reason"] == Reason.ACCEPTED
        assert row["id"] == f'"i{row["offset"]}"'
        if row["topic"] == LABEL:
            assert row["label"] == "true"
        else:
            assert row["label"] is None
            assert row["numeric/number"] == row["offset"]
    assert sum(batch.num_rows for batch in apart_) == decoder.decode(polled(topics)).num_rows == len(topics)
