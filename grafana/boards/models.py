"""Models and drift: what each scores beside its baseline, what it learns, and when the world left it behind."""

from __future__ import annotations

import frame
from panels import Json, bars, graph, line
from promql import BASELINES, gauge, increase, lead_over_baselines, rate

BASELINES_RECEDE = {
    "matcher": {"id": "byRegexp", "options": "/^baseline/"},
    "properties": [
        {"id": "color", "value": {"mode": "fixed", "fixedColor": "gray"}},
        {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
    ],
}


def right() -> list[Json]:
    chosen = ('metric="$metric"', 'window="$window"', f'model=~"$model|{BASELINES}"')
    scores = gauge("streamlearn_model_metric", *chosen)
    return [
        graph(
            "$metric, $window",
            "From what was predicted before it was learned; baselines are grey and dashed, and a model that is "
            "no better is of no use. Of several workers the plain mean.",
            "short",
            [line(f"avg by (model) ({scores})", "{{model}}")],
            alerts=("StreamlearnModelWorseThanBaseline", "StreamlearnModelFell"),
            scale="free",
            overrides=(BASELINES_RECEDE,),
            repeat="metric",
            repeatDirection="h",
            maxPerRow=3,
        ),
    ]


def against_itself() -> list[Json]:
    models = gauge("streamlearn_model_metric", 'window="sliding"', f'model=~"$model", model!~"{BASELINES}"')
    history = models + "[6h]"
    return [
        graph(
            "Lead over the best baseline",
            "Accuracy, ROC AUC, log loss or mean absolute error, so turned that more is better. Below 0 a model is of no use.",
            "short",
            [line(lead_over_baselines("$window"), "{{model}}: {{metric}}")],
            steps=((None, "red"), (0, "green")),
            alerts=("StreamlearnModelWorseThanBaseline",),
            scale="free",
        ),
        graph(
            "Against its own last six hours",
            "A sliding score minus its mean. What fell and stayed down has lost something; what dips and comes "
            "back has learned the new world.",
            "short",
            [line(f"avg by (model, metric) ({models} - avg_over_time({history}))", "{{model}}: {{metric}}")],
            alerts=("StreamlearnModelFell",),
            scale="free",
        ),
        graph(
            "Verdicts",
            "1: better, -1: worse, 0: too early to tell. Valid whenever it is looked at, however often: all verdicts "
            "together are ever wrong with the probability of evaluate.verdict_error.",
            "short",
            [
                line(
                    f"min by (model, against) ({gauge('streamlearn_model_verdict')})",
                    "{{model}} against {{against}}",
                )
            ],
            steps=((None, "red"), (0, "yellow"), (1, "green")),
            alerts=("StreamlearnModelWorseThanBaseline",),
        ),
        graph(
            "Advantage, and what encloses the truth",
            "How much smaller a model's error was, on average, in -1..1; of several workers the plain mean. A "
            "verdict comes when both bounds are on one side of 0.",
            "short",
            [
                line(
                    f"avg by (model, against, bound) ({gauge('streamlearn_model_advantage')})",
                    "{{model}} against {{against}}: {{bound}}",
                )
            ],
            scale="free",
        ),
    ]


ALL_MODELS = 'model=~".*"'  # an input's signals are of no model


def drift() -> list[Json]:
    alarms = "streamlearn_drift_alarms_total"
    movement = gauge("streamlearn_signal_movement", ALL_MODELS)
    events = increase("streamlearn_events_total", "instance", 'outcome!="rejected"', over="6h")
    by_chance = f"{events} / on (instance) {gauge('streamlearn_drift_expected_run_events')}"
    return [
        bars(
            "Drift alarms",
            "The world may have changed; what moved is named. Without a model: an input of all of them.",
            [
                line(
                    increase(alarms, "model, detector, signal", ALL_MODELS),
                    "{{model}} {{signal}} ({{detector}})",
                )
            ],
            "StreamlearnDriftAlarmsOverBudget",
        ),
        graph(
            "Drift alarms of the last six hours, and those of chance",
            "Chance alone brings one in drift.expected_run_events events, all signals together; what is above is change.",
            "short",
            [
                line(increase(alarms, "instance", ALL_MODELS, over="6h"), "{{instance}}: alarms"),
                line(by_chance, "{{instance}}: by chance"),
            ],
            alerts=("StreamlearnDriftAlarmsOverBudget",),
        ),
        graph(
            "What moved most",
            "How far a signal is from its reference window, in parts of what is an alarm: from 1 on it is one.",
            "percentunit",
            [line(f"topk(10, max by (model, signal) ({movement}))", "{{model}} {{signal}}")],
            steps=((None, "green"), (1, "red")),
            alerts=("StreamlearnDriftAlarmsOverBudget",),
        ),
        *(graph(title, about, unit, _values(signal), scale="free") for title, about, unit, signal in SIGNALS),
    ]


# Of which signals there is a panel: by how their names end.
SIGNALS = (
    (
        "Distance from the reference",
        "The Jensen-Shannon distance of the last window's distribution, of features and predictions; 0: the same, 1: nothing in common.",
        "short",
        ".+ distribution",
    ),
    ("Means", "Of the last window: features, predictions, errors and calibration.", "short", ".+ mean"),
    ("Spread", "The standard deviation within a block of the last window, on average.", "short", ".+ spread"),
    (
        "Missing and unseen",
        "The share of events without the feature, or with a category that the window before the reference did not show.",
        "percentunit",
        ".+ (missing|unseen)",
    ),
    (
        "Predicted classes",
        "The share of events of which each class is said, in the last window; no curve in regression.",
        "percentunit",
        "predicted .+",
    ),
)


def _values(signal: str) -> list[Json]:
    values = gauge("streamlearn_signal_value", ALL_MODELS, 'of="present"', f'signal=~"{signal}"')
    if signal.startswith("predicted"):
        values = values[:-1] + ', signal!~"predicted (mean|spread|missing|unseen|distribution)"}'
    return [line(f"max by (model, signal) ({values})", "{{model}} {{signal}}")]


def learning() -> list[Json]:
    learned = rate("streamlearn_events_total", "", 'outcome="learned"')
    accepted = rate("streamlearn_events_total", "", 'outcome!="rejected"')
    categories = [
        line(f"max by (feature) ({gauge('streamlearn_categories')})", "{{feature}}"),
        line(
            f"{increase('streamlearn_overflowed_events_total', 'feature')} > 0",
            "{{feature}}: events past the bound",
        ),
    ]
    return [
        graph(
            "Learned by model",
            "Events that each model learned from.",
            "eps",
            [line(rate("streamlearn_model_events_learned_total", "model"), "{{model}}")],
        ),
        graph(
            "Share with a label",
            "Of the events that were not rejected, those that could be learned from.",
            "percentunit",
            [line(f"{learned} / ({accepted} > 0)", "labelled")],
        ),
        graph(
            "Predictions written",
            "Records handed to the topic.",
            "eps",
            [line(rate("streamlearn_predictions_total", "model"), "{{model}}")],
        ),
        bars(
            "Steps that were not finite",
            "Optimizer steps not taken, and events whose learning was undone. The weights are unharmed.",
            [
                line(increase("streamlearn_model_skipped_steps_total", "model"), "steps skipped: {{model}}"),
                line(
                    increase("streamlearn_rejected_events_total", "reason", 'reason="non_finite_learning"'),
                    "{{reason}}",
                ),
            ],
            "StreamlearnNonFiniteLoss",
        ),
        graph(
            "Categories",
            "Known of each feature; past event.categories_max, what is new is one category to every model.",
            "short",
            categories,
        ),
    ]


def labels() -> list[Json]:
    waits = [
        line(f"sum({gauge('streamlearn_pending_events')})", "events that wait for labels"),
        line(f"sum({gauge('streamlearn_early_labels')})", "labels that wait for events"),
    ]
    return [
        graph(
            "Labels by what became of them",
            "Of labels on a topic of their own (docs/labels.md).",
            "eps",
            [line(rate("streamlearn_labels_total", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Waits ended",
            "Resolved: its label came in time.",
            "eps",
            [line(rate("streamlearn_waited_events_total", "outcome"), "{{outcome}}")],
            stacked=True,
        ),
        graph("What waits", "On the disk but for the newest.", "short", waits),
        graph(
            "Label delay",
            "Event time; over the shards' life.",
            "s",
            [line(f"max by (quantile) ({gauge('streamlearn_label_delay_seconds')})", "{{quantile}}")],
        ),
        graph(
            "Bytes kept",
            "Events that wait or are remembered, on disk and in memory.",
            "bytes",
            [line(gauge("streamlearn_pending_bytes"), "{{instance}}")],
        ),
        graph(
            "Shards that are full",
            "No events are read for them until labels have come.",
            "short",
            [line(gauge("streamlearn_pending_full"), "{{instance}}")],
        ),
    ]


def dashboard() -> Json:
    """Return the dashboard."""
    return frame.dashboard(
        "models",
        "models and drift",
        {
            "Is it still right?": right(),
            "Is it worth its keep?": against_itself(),
            "Has the world changed?": drift(),
            "What does it learn?": learning(),
            "Do labels come?": labels(),
        },
    )
