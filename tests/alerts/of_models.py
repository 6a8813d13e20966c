"""Cases of docker/prometheus/rules/models.yml."""

from __future__ import annotations

from alerts.cases import MODEL, WORKER, Case, counted, events, learned, score

LEARNS = learned("0+600x600")
INPUT = 'model="", detector="windows", signal="dep_delay mean"'
EXPECTED = {
    **counted("streamlearn_drift_expected_run_events", "1000000x100"),
    **events("learned", "0+600x100"),
}
ALARMS = 'model="logistic", detector="%s", signal="error"'

CASES: dict[str, list[Case]] = {
    "StreamlearnModelWorseThanBaseline": [
        Case(
            {
                **LEARNS,
                **score("logistic", "accuracy", "0.71x200"),
                **score("baseline_majority", "accuracy", "0.8x200"),
                **score("baseline_no_change", "accuracy", "0.83x200"),
            },
            100,
            {**MODEL, "metric": "accuracy", "window": "sliding"},
            "flights: logistic is worse than a baseline",
            "Its accuracy is 12% worse than the best baseline's, for 30 minutes.",
        ),
        Case(
            {
                **LEARNS,
                **score("logistic", "mae", "11x200"),
                **score("baseline_mean", "mae", "10x200"),
                **score("baseline_no_change", "mae", "20x200"),
            },
            100,
            {**MODEL, "metric": "mae", "window": "sliding"},
            "flights: logistic is worse than a baseline",
            "Its mae is 10% worse than the best baseline's, for 30 minutes.",
        ),
        Case(
            {
                **LEARNS,
                **score("logistic", "accuracy", "0.85x200"),
                **score("logistic", "log_loss", "0.4x200"),
                **score("baseline_majority", "accuracy", "0.8x200"),
                **score("baseline_majority", "log_loss", "0.5x200"),
            },
            100,
        ),
        # It has learned little, and may still.
        Case(
            {
                **learned("0+60x600"),
                **score("logistic", "accuracy", "0.5x200"),
                **score("baseline_majority", "accuracy", "0.8x200"),
            },
            100,
        ),
        # No event has come for an hour: the score is of then.
        Case(
            {
                **learned("0+600x30 18000x200"),
                **score("logistic", "accuracy", "0.5x200"),
                **score("baseline_majority", "accuracy", "0.8x200"),
            },
            120,
        ),
    ],
    "StreamlearnModelFell": [
        Case(
            {**LEARNS, **score("logistic", "accuracy", "0.9x400 0.78x60")},
            425,
            {**MODEL, "metric": "accuracy", "window": "sliding"},
            "flights: the accuracy of logistic has fallen off",
            # The mean of the last hours has begun to fall with it.
            "It is 11.67% worse than its own last six hours and what is usual there, for 15 minutes.",
        ),
        Case(
            {**LEARNS, **score("logistic", "log_loss", "0.4x400 0.6x60")},
            416,
            {**MODEL, "metric": "log_loss", "window": "sliding"},
            "flights: the log_loss of logistic has fallen off",
            "It is 41.92% worse than its own last six hours and what is usual there, for 15 minutes.",
        ),
        # It goes up and down by as much all day.
        Case({**LEARNS, **score("logistic", "accuracy", "0.9 0.8 " * 230)}, 425),
        # It rose.
        Case({**LEARNS, **score("logistic", "accuracy", "0.8x400 0.92x60")}, 425),
        # It fell, and came back.
        Case({**LEARNS, **score("logistic", "accuracy", "0.9x400 0.78x10 0.9x60")}, 425),
    ],
    "StreamlearnDriftAlarmsOverBudget": [
        Case(
            {
                **counted("streamlearn_drift_alarms_total", "0x10 0+1x60", ALARMS % "adwin"),
                **counted("streamlearn_drift_alarms_total", "0x100", INPUT),
                **EXPECTED,
            },
            40,
            WORKER,
            "flights: more drift alarms than chance brings",
            "29 alarms in six hours at a:9464; what moved is named in the log and on the page.",
        ),
        Case({**counted("streamlearn_drift_alarms_total", "0x10 5x60", ALARMS % "adwin"), **EXPECTED}, 40),
        # As many events bring as many by chance.
        Case(
            {
                **counted("streamlearn_drift_alarms_total", "0x10 0+1x60", INPUT),
                **counted("streamlearn_drift_expected_run_events", "1000000x100"),
                **events("learned", "0+1000000x100"),
            },
            40,
        ),
    ],
    "StreamlearnNonFiniteLoss": [
        Case(
            counted("streamlearn_model_skipped_steps_total", "0x10 0+3x60", 'model="mlp"'),
            40,
            {**WORKER, "model": "mlp"},
            "flights: learning is not finite, of mlp",
            "30 times in 10 minutes at a:9464 a step was not taken or an event's learning was undone, and so for "
            "15 minutes.",
        ),
        Case(
            counted("streamlearn_rejected_events_total", "0x10 0+6x60", 'reason="non_finite_learning"'),
            40,
            {**WORKER, "reason": "non_finite_learning"},
            "flights: learning is not finite",
            "60 times in 10 minutes at a:9464 a step was not taken or an event's learning was undone, and so for "
            "15 minutes.",
        ),
        # Once.
        Case(counted("streamlearn_model_skipped_steps_total", "0x10 1x60", 'model="mlp"'), 30),
        # Numbers that came in as NaN never reach a model.
        Case(counted("streamlearn_rejected_events_total", "0+6x60", 'reason="non_finite"'), 40),
    ],
}
