"""Cases of docker/prometheus/rules/daemon.yml."""

from __future__ import annotations

from alerts.cases import AT, PLACE, STREAM, WORKER, Case, counted, events, lag, ready

CASES: dict[str, list[Case]] = {
    "StreamlearnDaemonAbsent": [
        Case(
            {f"up{{{AT}}}": "1x5 0x5"},
            8,
            {"job": "streamlearn", "instance": "a:9464"},
            "A worker does not answer: a:9464",
            "Prometheus has had no scrape of it for more than a minute. Other workers of its group take over, "
            "where there are any.",
        ),
        # None is scraped at all: the target was taken out of Prometheus's config.
        Case(
            {'up{job="node"}': "1x5"},
            3,
            {"job": "streamlearn"},
            "A worker does not answer",
            "Prometheus has had no scrape of it for more than a minute. Other workers of its group take over, "
            "where there are any.",
        ),
        Case({f"up{{{AT}}}": "1x10"}, 8),
        Case({f"up{{{AT}}}": "1x5 0 1x5"}, 6),  # a restart
    ],
    "StreamlearnNotReady": [
        Case(
            {**ready("a:9464", "1x5 0x10"), **ready("b:9464", "0x20")},
            12,
            STREAM,
            "No worker of flights is ready",
            "For 5 minutes 0 workers of the stream have been ready: nothing is learned.",
            workers=("a:9464", "b:9464"),
        ),
        # The other is a standby, as it should be.
        Case({**ready("a:9464", "1x20"), **ready("b:9464", "0x20")}, 12, workers=("a:9464", "b:9464")),
        Case(ready("a:9464", "1x5 0x3 1x20"), 9),
    ],
    "StreamlearnNoProgress": [
        Case(
            {**lag(1, "20x30"), **lag(2, "10+10x30"), **events("learned", "0+60x10 600x20")},
            22,
            WORKER,
            "flights: a:9464 stands still with lag",
            "250 events wait, and none was done in the last 5 minutes.",
        ),
        # It works, and more comes than it can do: another alert's matter.
        Case({**lag(2, "10+10x30"), **events("learned", "0+60x30")}, 22),
        # Nothing comes. Behind the last event of each partition is the mark of a transaction.
        Case({**lag(1, "1x30"), **lag(2, "1x30"), **events("learned", "600x30")}, 22),
    ],
    "StreamlearnPartitionStuck": [
        Case(
            counted("streamlearn_partition_stuck", "0x5 1x10", 'topic="flights", partition="2"'),
            8,
            PLACE,
            "flights: flights[2] does not move",
            "It has lag and stands still at a:9464, for longer than stream.stall_seconds and 1 minute more. "
            "With scope = stream all wait for it.",
        ),
        Case(counted("streamlearn_partition_stuck", "0x5 1 0x10", 'topic="flights", partition="2"'), 8),
    ],
    "StreamlearnBeltStanding": [
        Case(
            counted("streamlearn_belt_paused", "0x5 1x10", 'reason="checkpoints_failing"'),
            8,
            {**WORKER, "reason": "checkpoints_failing"},
            "flights: the belt stands at a:9464 (checkpoints_failing)",
            "For 2 minutes nothing has been learned; it goes on by itself once the cause is gone.",
        ),
        Case(counted("streamlearn_belt_paused", "0x5 1 0x10", 'reason="checkpoints_failing"'), 8),
    ],
    "StreamlearnLagGrowing": [
        Case(
            {**lag(1, "0x60"), **lag(2, "0+600x60"), **events("learned", "0+60x60")},
            50,
            STREAM,
            "flights falls behind",
            "30k events wait, more than 10 minutes' work, and they become more.",
        ),
        # High, but worked off.
        Case({**lag(2, "60000-600x60"), **events("learned", "0+1200x60")}, 40),
        # Growing, but a matter of seconds.
        Case({**lag(2, "0+10x60"), **events("learned", "0+6000x60")}, 50),
    ],
}
