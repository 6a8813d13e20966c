"""The first look: is it healthy, does it keep up, is it still right; and which stream of the fleet is not."""

from __future__ import annotations

import frame
from panels import GREEN, NONE_IS_RIGHT, Json, Steps, bars, flag, graph, line, quantile_lines, stat, table
from promql import age, by_stream, gauge, increase, lead_over_baselines, of_stream, rate

WORKER = "{{instance}}"

STEP_AGE: Steps = ((None, "green"), (10, "orange"), (60, "red"))  # /healthz fails after a minute
CHECKPOINT_AGE: Steps = ((None, "green"), (120, "orange"), (600, "red"))  # one is due every 30 s by default
REJECTED_SHARE: Steps = ((None, "green"), (0.001, "orange"), (0.05, "red"))
ALERTS: Steps = ((None, "green"), (1, "red"))
CATCH_UP: Steps = ((None, "green"), (60, "orange"), (600, "red"))

EVENTS = rate("streamlearn_events_total")
REJECTED = rate("streamlearn_events_total", "", 'outcome="rejected"')
LAG = f"sum({gauge('streamlearn_consumer_lag_events')})"


def healthy() -> list[Json]:
    firing = 'count(ALERTS{alertname=~"Streamlearn.*", alertstate="firing"}) or vector(0)'
    alarms = increase("streamlearn_drift_alarms_total", over="1h")
    return [
        stat(
            "Alerts", "Of all streams; which ones, says Prometheus.", "short", line(firing, "firing"), ALERTS
        ),
        flag(
            "Ready",
            "It has an assignment and its belt moves. A standby is not ready.",
            line(gauge("streamlearn_ready"), WORKER),
            "StreamlearnNotReady",
        ),
        flag(
            "Broker answers",
            "While it does not, state is kept and the client retries.",
            line(gauge("streamlearn_broker_connected"), WORKER),
            "StreamlearnNotReady",
        ),
        stat(
            "Since the last step",
            "The belt steps also when there is no event.",
            "s",
            line(age("streamlearn_last_step_timestamp_seconds"), WORKER),
            STEP_AGE,
            "StreamlearnNoProgress",
        ),
        stat(
            "Since the last checkpoint",
            "What a crash now would have to learn again; it grows also while no event comes. Of several shards the oldest.",
            "s",
            line(age("streamlearn_last_checkpoint_timestamp_seconds"), WORKER),
            CHECKPOINT_AGE,
            "StreamlearnCheckpointTooOld",
        ),
        stat(
            "Time to catch up",
            "The lag at the present rate, if nothing more came.",
            "s",
            line(f"{LAG} / ({EVENTS} > 0)", "lag"),
            CATCH_UP,
            "StreamlearnLagGrowing",
        ),
        stat(
            "Rejected",
            "Share of the events.",
            "percentunit",
            line(f"{REJECTED} / ({EVENTS} > 0)", "share"),
            REJECTED_SHARE,
            "StreamlearnDeadLetterRatioHigh",
        ),
        stat(
            "Drift alarms, last hour",
            "Of all models and detectors.",
            "short",
            line(alarms, "alarms"),
            NONE_IS_RIGHT,
            "StreamlearnDriftAlarmsOverBudget",
        ),
    ]


def fleet() -> list[Json]:
    events = by_stream("streamlearn_events_total", over="5m")
    rejected = by_stream("streamlearn_events_total", 'outcome="rejected"', over="5m")
    workers = f"count by (stream) ({of_stream(gauge('streamlearn_ready'))})"
    columns = {
        "workers": line(workers),
        "ready": line(by_stream("streamlearn_ready")),
        "events/s": line(f"{events} / 300"),
        "lag": line(by_stream("streamlearn_consumer_lag_events")),
        "rejected, 5 min": line(f"{rejected} / ({events} > 0)"),
        "drift alarms, 1 h": line(by_stream("streamlearn_drift_alarms_total", over="1h")),
        "failed checkpoints, 1 h": line(
            by_stream("streamlearn_checkpoints_total", 'outcome="failed"', over="1h")
        ),
    }
    about = (
        "Every stream that this Prometheus knows, with the sums of its workers. Standbys count as workers."
    )
    return [
        table("Streams", about, columns, ("stream",), {"events/s": "eps", "rejected, 5 min": "percentunit"})
    ]


def keeping_up() -> list[Json]:
    return [
        graph(
            "Throughput by outcome",
            "Learned; predicted only, for want of a label; rejected.",
            "eps",
            [line(rate("streamlearn_events_total", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Lag",
            "Events in the topics that were not learned yet; by partition on the board of Kafka and the belt.",
            "short",
            [line(f"sum by (instance) ({gauge('streamlearn_consumer_lag_events')})", WORKER)],
            alerts=("StreamlearnLagGrowing", "StreamlearnNoProgress"),
        ),
        graph(
            "Event delay",
            "From an event's time to when it was learned; a stream that catches up shows how far back it is. "
            "More than a week shows as a week.",
            "s",
            quantile_lines("streamlearn_event_delay_seconds"),
            scale="logarithmic",
        ),
    ]


def still_right() -> list[Json]:
    return [
        graph(
            "Lead over the best baseline",
            "Accuracy, ROC AUC, log loss or mean absolute error in the sliding window, so turned that more is better. "
            "Below 0 a model is of no use.",
            "short",
            [line(lead_over_baselines("sliding"), "{{model}}: {{metric}}")],
            steps=((None, "red"), (0, "green")),
            alerts=("StreamlearnModelWorseThanBaseline", "StreamlearnModelFell"),
            scale="free",
        ),
        bars(
            "Drift alarms",
            "The world may have changed for this model.",
            [line(increase("streamlearn_drift_alarms_total", "model, detector"), "{{model}}: {{detector}}")],
            "StreamlearnDriftAlarmsOverBudget",
        ),
        graph(
            "Rejections by reason",
            "No model is touched by a rejected event.",
            "eps",
            [line(f"{rate('streamlearn_rejected_events_total', 'reason')} > 0", "{{reason}}")],
            alerts=("StreamlearnDeadLetterRatioHigh",),
            steps=GREEN,
            stacked=True,
        ),
    ]


def dashboard() -> Json:
    """Return the dashboard."""
    return frame.dashboard(
        "overview",
        "overview",
        {
            "Is it healthy?": healthy(),
            "Which stream is it?": fleet(),
            "Does it keep up?": keeping_up(),
            "Is it still right?": still_right(),
        },
    )
