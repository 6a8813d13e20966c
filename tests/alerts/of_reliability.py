"""Cases of docker/prometheus/rules/reliability.yml."""

from __future__ import annotations

from alerts.cases import PLACE, STREAM, WORKER, Case, checkpoints, counted, events

AT_PARTITION = 'topic="flights", partition="2"'
LOST = "flights: events of flights[2] are lost"

CASES: dict[str, list[Case]] = {
    "StreamlearnEventsLost": [
        Case(
            counted("streamlearn_missed_events_total", "0x10 300x20", AT_PARTITION),
            12,
            PLACE,
            LOST,
            "300 offsets were no longer in the log when they were due, in the last 15 minutes. No model has "
            "learned them.",
        ),
        # Found when it started, before the first scrape.
        Case(
            counted("streamlearn_missed_events_total", "_x10 300x20", AT_PARTITION),
            20,
            PLACE,
            LOST,
            "300 offsets were no longer in the log when they were due, in the last 15 minutes. No model has "
            "learned them.",
        ),
        Case(counted("streamlearn_missed_events_total", "0x40", AT_PARTITION), 20),
        Case(counted("streamlearn_missed_events_total", "0x10 300x40", AT_PARTITION), 40),  # long ago
    ],
    "StreamlearnDeadLetterRatioHigh": [
        Case(
            {**events("learned", "0+90x40"), **events("rejected", "0+10x40")},
            30,
            STREAM,
            "flights: many events are rejected",
            "10% of the events of the last 5 minutes became dead letters, for 10 minutes.",
        ),
        Case({**events("learned", "0+990x40"), **events("rejected", "0+10x40")}, 30),
        # A few in a quiet night.
        Case({**events("learned", "0+1x40"), **events("rejected", "0+1x40")}, 30),
    ],
    "StreamlearnCheckpointTooOld": [
        Case(
            checkpoints("300x60"),
            20,
            WORKER,
            "flights: a:9464 writes no checkpoints",
            "The last one is 15m 0s old, more than ten times checkpoint.every_seconds. A crash now would learn "
            "all since then again.",
        ),
        # Never one since the start, at second 60.
        Case(
            checkpoints("0x60"),
            20,
            WORKER,
            "flights: a:9464 writes no checkpoints",
            "The last one is 19m 0s old, more than ten times checkpoint.every_seconds. A crash now would learn "
            "all since then again.",
        ),
        Case(checkpoints("0+60x60"), 20),
        Case(checkpoints("300x60", interval="3600x60"), 20),
        # Nothing has come since: there is nothing to keep.
        Case(checkpoints("300x60", done="0+60x5 300x60"), 40),
    ],
    "StreamlearnRebalanceStorm": [
        Case(
            {
                **counted("streamlearn_rebalances_total", "0+1x60", 'kind="assigned"'),
                **counted("streamlearn_rebalances_total", "0+1x60", 'kind="revoked"'),
            },
            30,
            STREAM,
            "flights: its group does not settle",
            "30 changes of the assignment a worker in 15 minutes. Each one lets shards go and restores them.",
        ),
        # A rolling restart.
        Case(counted("streamlearn_rebalances_total", "0x10 1 2 3x60", 'kind="assigned"'), 20),
    ],
    "StreamlearnFencedOften": [
        Case(
            counted("streamlearn_fenced_shards_total", "0x10 0+1x60"),
            30,
            STREAM,
            "flights: workers take shards from each other",
            "19 times in 30 minutes a worker was fenced while it held a shard. What it had not checkpointed is "
            "learned again.",
        ),
        Case(counted("streamlearn_fenced_shards_total", "0x10 1x60"), 30),
    ],
}
