"""A test once with each way into librdkafka (connectors/kafka_producers.py), for whoever imports the fixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamlearn.connectors.kafka_producers import KafkaProducer, RecordProducer, open_producer
from streamlearn.connectors.librdkafka_producer import ColumnProducer


@pytest.fixture(params=["columns", "produce"], autouse=True)
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail where the other way was taken."""
    kinds: set[type] = set()  # and not the handles: each goes with its last reference

    def connect(*arguments: Any, **named: Any) -> KafkaProducer:
        made = open_producer(*arguments, **named, way=request.param)
        kinds.add(type(made))
        return made

    monkeypatch.setattr("streamlearn.connectors.kafka_outboxes.open_producer", connect)
    yield
    assert kinds == {ColumnProducer if request.param == "columns" else RecordProducer}
