"""Models: what they score and learn, what they predict, and when the world has drifted from them."""

from __future__ import annotations

from collections.abc import Iterable

from streamlearn.config import Config
from streamlearn.config.signals import drift_signals
from streamlearn.events import TopicPartition
from streamlearn.telemetry.core import Happenings, Means, place

WINDOWS = ("cumulative", "sliding", "fading")
VERDICTS = {"better": 1, "too early to tell": 0, "worse": -1}


class ModelHappenings(Happenings):
    """What becomes of the models."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        make = means.make
        self._model_metric = make.gauge("streamlearn_model_metric")
        self._model_verdict = make.gauge("streamlearn_model_verdict")
        self._model_advantage = make.gauge("streamlearn_model_advantage")
        self._model_events_learned = make.counter("streamlearn_model_events_learned_total")
        self._model_skipped_steps = make.counter("streamlearn_model_skipped_steps_total")
        self._predictions = make.counter("streamlearn_predictions_total")
        self._drift_alarms = make.counter("streamlearn_drift_alarms_total")
        self._expected_run = make.gauge("streamlearn_drift_expected_run_events")
        self._signal_value = make.gauge("streamlearn_signal_value")
        self._signal_movement = make.gauge("streamlearn_signal_movement")

    def _when_started(self, config: Config) -> None:
        super()._when_started(config)
        self._expected_run.set(config.drift.expected_run_events)
        for model in config.models:
            self._model_events_learned.labels(model.name)
            self._model_skipped_steps.labels(model.name)
            self._predictions.labels(model.name)
        for signal in drift_signals(config):
            self._drift_alarms.labels(*signal)

    def _when_no_shard_is_left(self) -> None:
        super()._when_no_shard_is_left()
        self._model_verdict.clear()
        self._signal_value.clear()
        self._signal_movement.clear()
        self._model_advantage.clear()
        self._model_metric.clear()  # the scores were of events that other workers learn from now

    def model_metric(self, model: str, metric: str, window: str, value: float) -> None:
        """What a model scores, over this worker's shards; NaN: not defined yet. Once a second at most, or
        on a scrape."""
        assert window in WINDOWS, f"{window!r} is none of {WINDOWS}"
        self._model_metric.labels(model, metric, window).set(value)

    def model_verdict(self, model: str, *, against: str, verdict: str, **bounds: float) -> None:
        """How a model stands to another; ``bounds``: ``advantage``, ``lower``, ``upper``. With the metrics."""
        self._model_verdict.labels(model, against).set(VERDICTS[verdict])
        for name, bound in (("estimate", "advantage"), ("lower", "lower"), ("upper", "upper")):
            self._model_advantage.labels(model, against, name).set(bounds[bound])

    def model_events_learned(self, model: str, events: int) -> None:
        """A model learned from so many more events."""
        self._model_events_learned.labels(model).inc(events)

    def model_steps_skipped(self, model: str, steps: int) -> None:
        """Optimizer steps were not taken because they were not finite; the weights are unharmed."""
        self._model_skipped_steps.labels(model).inc(steps)
        self._log.warning("model_steps_skipped", model=model, steps=steps)

    def predictions_sent(self, model: str, predictions: int) -> None:
        """Prediction records of a model were handed to the sink."""
        self._predictions.labels(model).inc(predictions)

    def signals_compared(self, signals: Iterable[tuple[str, str, float, float, float]]) -> None:
        """How all watched signals stand: model ("": an input), signal, reference, present, movement."""
        for gauge in (self._signal_value, self._signal_movement):
            gauge.clear()  # a class that is no longer among the most frequent
        for model, signal, reference, present, movement in signals:
            self._signal_value.labels(model, signal, "reference").set(reference)
            self._signal_value.labels(model, signal, "present").set(present)
            self._signal_movement.labels(model, signal).set(movement)

    def drift_alarm(
        self,
        *,
        shard: str,
        model: str,
        detector: str,
        signal: str,
        detail: str,
        event_time: str,
        partition: TopicPartition,
        offset: int,
    ) -> None:
        """A detector says that what it watches has changed, at this event (its time as ISO 8601).

        ``model``: "" for an input; ``detail``: from what to what, where the detector knows.
        """
        self._drift_alarms.labels(model, detector, signal).inc()
        self._log.warning(
            "drift_alarm",
            shard=shard,
            model=model,
            detector=detector,
            signal=signal,
            detail=detail,
            event_time=event_time,
            **place(partition),
            offset=offset,
        )
