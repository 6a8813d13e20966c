"""Kafka and the belt: what comes in, how far behind, where the time goes, what is set aside, who is in the group."""

from __future__ import annotations

import frame
from panels import Json, Steps, bars, graph, line, quantile_lines
from promql import gauge, increase, quantile, rate

PARTITION = "{{topic}}[{{partition}}]"
WORKER = "{{instance}}"
BELT_FULL: Steps = ((None, "green"), (0.9, "red"))


def comes_in() -> list[Json]:
    lag = gauge("streamlearn_consumer_lag_events")
    events = "streamlearn_events_total"
    caught_up = f"sum by (topic) ({lag}) / ({rate(events, 'topic')} > 0)"
    return [
        graph(
            "Lag by partition",
            "Last stable offset minus the next offset to learn from.",
            "short",
            [line(f"sum by (topic, partition) ({lag})", PARTITION)],
            alerts=("StreamlearnLagGrowing", "StreamlearnNoProgress"),
        ),
        graph(
            "Time to catch up",
            "The lag at the present rate, if nothing more came.",
            "s",
            [line(caught_up, "{{topic}}")],
            steps=((None, "green"), (600, "red")),
            alerts=("StreamlearnLagGrowing",),
        ),
        graph(
            "Read by partition",
            "What the reader brought.",
            "eps",
            [line(rate("streamlearn_read_events_total", "topic, partition"), PARTITION)],
        ),
        graph(
            "Done by outcome",
            "Learned; predicted only, for want of a label; rejected.",
            "eps",
            [line(rate("streamlearn_events_total", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Event delay",
            "From an event's time to when it was learned; a stream that catches up shows how far back it is. "
            "More than a week shows as a week.",
            "s",
            quantile_lines("streamlearn_event_delay_seconds"),
            scale="logarithmic",
        ),
        graph(
            "Stream time",
            "Largest event time that the belt is done with.",
            "dateTimeAsIso",
            [line(f"({gauge('streamlearn_last_event_timestamp_seconds')} > 0) * 1000", PARTITION)],
            scale="free",
        ),
    ]


def belt() -> list[Json]:
    stands = [
        line(increase("streamlearn_belt_pauses_total", "reason"), "paused: {{reason}}"),
        line(f"sum by (reason) ({gauge('streamlearn_belt_paused')}) > 0", "stands now: {{reason}}"),
        line(
            f"sum by (topic, partition) ({gauge('streamlearn_partition_stuck')}) > 0", f"stuck: {PARTITION}"
        ),
    ]
    return [
        graph(
            "Where the time goes",
            "Seconds of each stage in a second. One worker's sum cannot pass 1; near it, the belt is the limit.",
            "percentunit",
            [line(rate("streamlearn_stage_seconds_sum", "stage"), "{{stage}}")],
            steps=BELT_FULL,
            stacked=True,
        ),
        graph(
            "Stage time, 99%",
            "For one micro-batch.",
            "s",
            [line(quantile("0.99", "streamlearn_stage_seconds", "stage"), "{{stage}}")],
            scale="logarithmic",
        ),
        graph(
            "Read ahead",
            "Bytes that wait between the reader and the belt. At its limit reading pauses.",
            "bytes",
            [line(gauge("streamlearn_queue_bytes"), WORKER)],
        ),
        bars(
            "Stands still",
            "Times that the whole belt had to wait, by reason; partitions that do not move although they have lag.",
            stands,
            "StreamlearnBeltStanding",
            "StreamlearnPartitionStuck",
        ),
    ]


def set_aside() -> list[Json]:
    return [
        graph(
            "Rejections by reason",
            "No model is touched by a rejected event.",
            "eps",
            [line(f"{rate('streamlearn_rejected_events_total', 'reason')} > 0", "{{reason}}")],
            alerts=("StreamlearnDeadLetterRatioHigh",),
            stacked=True,
        ),
        graph(
            "Dead letters",
            "Rejected events whose bytes were handed on to be kept.",
            "eps",
            [line(rate("streamlearn_dead_letters_total"), "letters")],
        ),
        bars(
            "Events lost",
            "Offsets that the log no longer held when they were due (on_gap = skip).",
            [line(increase("streamlearn_missed_events_total", "topic, partition"), PARTITION)],
            "StreamlearnEventsLost",
        ),
    ]


def group() -> list[Json]:
    holds = [
        line(gauge("streamlearn_assigned_partitions"), f"partitions: {WORKER}"),
        line(gauge("streamlearn_standby"), f"standby: {WORKER}"),
    ]
    refused = [
        line(increase("streamlearn_refused_commits_total", "instance"), f"commits refused: {WORKER}"),
        line(increase("streamlearn_overdue_revokes_total", "instance"), f"revokes overdue: {WORKER}"),
    ]
    return [
        graph("Who holds what", "A standby waits for the worker that learns to leave.", "short", holds),
        bars(
            "Rebalances",
            "Changes of the assignment. Lost: gone before the belt could let go.",
            [line(increase("streamlearn_rebalances_total", "kind"), "{{kind}}")],
            "StreamlearnRebalanceStorm",
        ),
        bars(
            "At odds with the group",
            "Commits that the group refused, and revokes that the belt held up. Checkpoints stand, nothing is lost.",
            refused,
            "StreamlearnRebalanceStorm",
        ),
    ]


def dashboard() -> Json:
    """Return the dashboard."""
    return frame.dashboard(
        "belt",
        "Kafka and belt",
        {
            "What comes in": comes_in(),
            "The belt": belt(),
            "What was set aside": set_aside(),
            "The group": group(),
        },
    )
