"""A Quix Streams application with a River model, as its manual writes one.

    python bench/quix_app.py BOOTSTRAP_SERVERS TOPIC EVENTS

Quix Streams does not go with the daemon's own pins, so this file runs in an environment of its own
(``requirements-quix.txt``; ``make bench`` makes it) and imports nothing of this repository. It prints what
``rivals.py`` prints: the clock begins before the application is made, and ends with the last event.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

from quixstreams import Application
from river import linear_model, metrics, preprocessing

LABEL = "label"


def learn_from(bootstrap_servers: str, topic: str, events: int) -> dict[str, Any]:
    """Predict, judge, learn, event by event; default settings but for where to begin."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    metric = metrics.Accuracy()
    done = 0
    began = ended = 0.0

    def learn(event: dict[str, Any]) -> None:
        nonlocal done, began, ended
        began = began or time.perf_counter()
        y = event.pop(LABEL)
        y_pred = model.predict_one(event)
        metric.update(y, y_pred)
        model.learn_one(event, y)
        done += 1
        if done == events:
            ended = time.perf_counter()

    application = Application(
        broker_address=bootstrap_servers,
        consumer_group=f"quix-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        loglevel="ERROR",
    )
    stream = application.dataframe(application.topic(topic, value_deserializer="json"))
    stream.update(learn)
    application.run(count=events)
    if done != events:
        sys.exit(f"{done} of {events} events came")
    return {"events": done, "seconds": ended - began, "accuracy": metric.get()}


if __name__ == "__main__":
    print(json.dumps(learn_from(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
