"""The flights as two streams: labels come when a flight has landed, and never for one that was cancelled."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from streamlearn.config_file import parse
from streamlearn.demo.arrivals import departures_and_arrivals
from streamlearn.demo.run import config_text


def test_labels_come_when_flights_have_landed() -> None:
    events, labels = departures_and_arrivals(3000)
    left = {event["id"]: event for event in map(json.loads, events)}
    assert len(left) == len(events) == 3000
    told = [json.loads(label) for label in labels]
    assert 2900 < len(told) < 3000
    assert [label["landed_at"] for label in told] == sorted(label["landed_at"] for label in told)
    for label in told:
        event = left[label["id"]]
        assert "late" not in event
        assert event["dep_delay"] is not None, "a flight that never left has no label"
        flew = datetime.fromisoformat(label["landed_at"]) - datetime.fromisoformat(event["left_at"])
        assert timedelta(minutes=20) < flew < timedelta(hours=14), (label, event)


def test_the_demo_config_of_delayed_labels_is_one() -> None:
    config = parse(config_text(delayed_labels=True), [], {})
    assert config.event.label is None
    assert config.topics == ("flights", "flights-arrivals")
