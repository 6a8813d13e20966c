"""Write grafana/overview.json, the first dashboard: `python grafana/generate.py`.

It asks in this order: is the daemon healthy, does it keep up, is it still right. A test keeps the file in
step, and every metric and label in it within ``metrics_table.METRICS``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from panels import (
    Json,
    Steps,
    age,
    bars,
    choice,
    data_source,
    flag,
    gauge,
    graph,
    increase,
    laid_out,
    line,
    panel,
    quantile,
    quantile_lines,
    rate,
    stat,
    variable,
)

HERE = Path(__file__).parent

PARTITION = "{{topic}}[{{partition}}]"
WORKER = "{{instance}}"

GREEN: Steps = ((None, "green"),)
STEP_AGE: Steps = ((None, "green"), (10, "orange"), (60, "red"))  # /healthz fails after a minute
CHECKPOINT_AGE: Steps = ((None, "green"), (120, "orange"), (600, "red"))  # one is due every 30 s by default
REJECTED_SHARE: Steps = ((None, "green"), (0.001, "orange"), (0.05, "red"))
ALARMS: Steps = ((None, "green"), (1, "orange"))


def healthy() -> list[Json]:
    events = rate("streamlearn_events_total")
    rejected = rate("streamlearn_events_total", matchers=', outcome="rejected"')
    alarms = f"sum(increase({gauge('streamlearn_drift_alarms_total')}[1h]))"
    return [
        flag("Ready", "It has an assignment and its belt moves.", line(gauge("streamlearn_ready"), WORKER)),
        flag(
            "Broker answers",
            "While it does not, state is kept and the client retries.",
            line(gauge("streamlearn_broker_connected"), WORKER),
        ),
        stat(
            "Since the last step",
            "The belt steps also when there is no event.",
            "s",
            line(age("streamlearn_last_step_timestamp_seconds"), WORKER),
            STEP_AGE,
        ),
        stat(
            "Since the last checkpoint",
            "What a crash now would have to learn again. Of several shards the oldest.",
            "s",
            line(age("streamlearn_last_checkpoint_timestamp_seconds"), WORKER),
            CHECKPOINT_AGE,
        ),
        stat("Throughput", "Events that the belt is done with.", "eps", line(events, "events"), GREEN),
        stat(
            "Lag",
            "Events in the topic that were not learned yet.",
            "short",
            line(f"sum({gauge('streamlearn_consumer_lag_events')})", "events"),
            GREEN,
        ),
        stat(
            "Rejected",
            "Share of the events.",
            "percentunit",
            line(f"{rejected} / ({events} > 0)", "share"),
            REJECTED_SHARE,
        ),
        stat(
            "Drift alarms, last hour", "Of all models and detectors.", "short", line(alarms, "alarms"), ALARMS
        ),
    ]


def keeping_up() -> list[Json]:
    lag = f"sum by (topic, partition) ({gauge('streamlearn_consumer_lag_events')})"
    return [
        graph(
            "Throughput by outcome",
            "Learned; predicted only, for want of a label; rejected.",
            "eps",
            [line(rate("streamlearn_events_total", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Lag by partition",
            "Last stable offset minus the next offset to learn from.",
            "short",
            [line(lag, PARTITION)],
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
            "Where the time goes",
            "Seconds of each stage in a second. One worker's sum cannot pass 1; near it, the belt is the limit.",
            "percentunit",
            [line(rate("streamlearn_stage_seconds_sum", "stage"), "{{stage}}")],
            stacked=True,
        ),
        graph(
            "Stage time, 99%",
            "For one micro-batch.",
            "s",
            [line(quantile("0.99", "streamlearn_stage_seconds", "stage"), "{{stage}}")],
            scale="logarithmic",
        ),
        bars(
            "The belt stood still",
            "Times that it had to wait, by reason.",
            [line(increase("streamlearn_belt_pauses_total", "reason"), "{{reason}}")],
        ),
        graph(
            "Read by partition",
            "What the reader brought.",
            "eps",
            [line(rate("streamlearn_read_events_total", "topic, partition"), PARTITION)],
        ),
        graph(
            "Read ahead",
            "Bytes that wait between the reader and the belt. At its limit reading pauses.",
            "bytes",
            [line(gauge("streamlearn_queue_bytes"), WORKER)],
        ),
        graph(
            "Stream time",
            "Largest event time that the belt is done with.",
            "dateTimeAsIso",
            [line(f"{gauge('streamlearn_last_event_timestamp_seconds')} * 1000", PARTITION)],
            scale="free",
        ),
    ]


def still_right() -> list[Json]:
    scores = gauge("streamlearn_model_metric").replace("}", ', metric="$metric", window="$window"}')
    baselines_recede = {
        "matcher": {"id": "byRegexp", "options": "/^baseline/"},
        "properties": [
            {"id": "color", "value": {"mode": "fixed", "fixedColor": "gray"}},
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
        ],
    }
    return [
        bars(
            "Drift alarms",
            "The world may have changed for this model.",
            [
                line(
                    increase("streamlearn_drift_alarms_total", "model, detector, signal"),
                    "{{model}}: {{detector}}, {{signal}}",
                )
            ],
        ),
        graph(
            "Learned by model",
            "Events that each model learned from.",
            "eps",
            [line(rate("streamlearn_model_events_learned_total", "model"), "{{model}}")],
        ),
        graph(
            "Predictions written",
            "Records handed to the topic.",
            "eps",
            [line(rate("streamlearn_predictions_total", "model"), "{{model}}")],
        ),
        graph(
            "$metric, $window",
            "From what was predicted before it was learned; baselines are grey and dashed, and a model that is "
            "no better is of no use. Of several workers the plain mean.",
            "short",
            [line(f"avg by (model) ({scores})", "{{model}}")],
            scale="free",
            overrides=(baselines_recede,),
            repeat="metric",
            repeatDirection="h",
            maxPerRow=3,
        ),
    ]


def set_aside() -> list[Json]:
    losses = [
        line(increase("streamlearn_missed_events_total", "topic, partition"), f"missed: {PARTITION}"),
        line(increase("streamlearn_model_skipped_steps_total", "model"), "steps skipped: {{model}}"),
        line(increase("streamlearn_refused_commits_total", "instance"), f"commits refused: {WORKER}"),
        line(increase("streamlearn_overdue_revokes_total", "instance"), f"revokes overdue: {WORKER}"),
        line(increase("streamlearn_fenced_shards_total", "instance"), f"shards fenced: {WORKER}"),
        line(f"{gauge('streamlearn_partition_stuck')} > 0", f"stuck: {PARTITION}"),
    ]
    categories = [
        line(f"max by (feature) ({gauge('streamlearn_categories')})", "{{feature}}"),
        line(
            f"{increase('streamlearn_overflowed_events_total', 'feature')} > 0",
            "{{feature}}: events past the bound",
        ),
    ]
    return [
        graph(
            "Rejections by reason",
            "No model is touched by a rejected event.",
            "eps",
            [line(f"{rate('streamlearn_rejected_events_total', 'reason')} > 0", "{{reason}}")],
            stacked=True,
        ),
        graph(
            "Dead letters",
            "Rejected events whose bytes were handed on to be kept.",
            "eps",
            [line(rate("streamlearn_dead_letters_total"), "letters")],
        ),
        bars(
            "Should stay empty",
            "Events that the log no longer held; steps that were not finite; commits that the group refused, "
            "revokes that the belt held up, shards that another worker took; partitions that stand still.",
            losses,
        ),
        graph(
            "Categories",
            "Known of each feature; past event.categories_max, what is new is one category to every model.",
            "short",
            categories,
        ),
    ]


def checkpoints_and_workers() -> list[Json]:
    took = [
        line(gauge("streamlearn_checkpoint_seconds"), "until durable"),
        line(quantile("0.99", "streamlearn_checkpoint_pause_seconds"), "the belt stood still, 99%"),
    ]
    holds = [
        line(gauge("streamlearn_assigned_partitions"), f"partitions: {WORKER}"),
        line(gauge("streamlearn_owned_shards"), f"shards: {WORKER}"),
        line(gauge("streamlearn_standby"), f"standby: {WORKER}"),
    ]
    build = ("instance", "version", "stream", "task", "scope")
    return [
        bars(
            "Checkpoints",
            "A failed one is tried again; a corrupt one was set aside for an older one.",
            [line(increase("streamlearn_checkpoints_total", "outcome"), "{{outcome}}")],
        ),
        graph("Checkpoint time", "Written beside the belt; only the snapshot stops it.", "s", took),
        graph(
            "Checkpoint size",
            "Of the last one.",
            "bytes",
            [line(gauge("streamlearn_checkpoint_bytes"), WORKER)],
        ),
        graph("Who holds what", "A standby waits for the worker that learns to leave.", "short", holds),
        bars(
            "Rebalances",
            "Changes of the assignment. Lost: gone before the belt could let go.",
            [line(increase("streamlearn_rebalances_total", "kind"), "{{kind}}")],
        ),
        panel(
            "table",
            "What runs",
            "Each worker, its version and its stream.",
            [line(gauge("streamlearn_build_info"), format="table", instant=True)],
            width=8,
            height=8,
            transformations=[{"id": "filterFieldsByName", "options": {"include": {"names": build}}}],
        ),
    ]


def overview() -> Json:
    """Return the dashboard."""
    return {
        "uid": "streamlearn-overview",
        "title": "streamlearn: overview",
        "tags": ["streamlearn"],
        "schemaVersion": 39,
        "graphTooltip": 1,  # one crosshair over all panels
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                data_source(),
                variable("instance", "Worker", "streamlearn_build_info"),
                variable("metric", "Score", "streamlearn_model_metric"),
                choice("window", "Window", ("sliding", "cumulative")),
            ]
        },
        "panels": laid_out(
            {
                "Is it healthy?": healthy(),
                "Does it keep up?": keeping_up(),
                "Is it still right?": still_right(),
                "What was set aside?": set_aside(),
                "Checkpoints and workers": checkpoints_and_workers(),
            }
        ),
    }


DASHBOARDS = {"overview.json": overview}


def main() -> None:
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
        (HERE / name).write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {HERE / name}\n")


if __name__ == "__main__":
    main()
