"""Which signals drift detectors watch under a config, by name: they share the budget of false alarms."""

from __future__ import annotations

from typing import NamedTuple

from streamlearn.config import Config

WINDOWS = "windows"  # the detector that compares a window with the reference
OF_NUMBERS = ("mean", "spread", "missing", "distribution")
OF_CATEGORIES = ("missing", "unseen", "distribution")


class Signal(NamedTuple):
    model: str  # "": an input of all models
    detector: str
    name: str


def drift_signals(config: Config) -> list[Signal]:
    """Return all signals: of the features, then of each model.

    >>> from streamlearn.config_file import parse
    >>> config = parse('''
    ... [stream]
    ... name = "flights"
    ... task = "binary"
    ... [source.files]
    ... paths = ["flights.jsonl"]
    ... [event]
    ... label = "late"
    ... categorical = ["carrier"]
    ... [[models]]
    ... name = "logistic"
    ... learner = "river"
    ... pipeline = ["linear_model.LogisticRegression"]
    ... ''', [], {})
    >>> [name for model, detector, name in drift_signals(config) if detector == "windows"]
    ['carrier missing', 'carrier unseen', 'carrier distribution', 'predicted missing', 'predicted unseen',
     'predicted distribution', 'error mean', 'calibration mean']
    """
    task, event, settings = config.stream.task, config.event, config.drift
    signals = []
    for names, kinds in ((event.numeric, OF_NUMBERS), (event.categorical, OF_CATEGORIES)):
        watched = filter(settings.watches_feature, names)
        signals += [Signal("", WINDOWS, f"{name} {kind}") for name in watched for kind in kinds]
    for model in config.models:
        if "outputs" in settings.watch:
            kinds = OF_CATEGORIES if task in ("binary", "multiclass") else OF_NUMBERS
            signals += [Signal(model.name, WINDOWS, f"predicted {kind}") for kind in kinds]
        if "errors" in settings.watch:
            judged = ("error",) if task == "anomaly" else ("error", "calibration")
            signals += [Signal(model.name, WINDOWS, f"{name} mean") for name in judged]
        signals += [Signal(model.name, detector, "error") for detector in settings.detectors]
    return signals
