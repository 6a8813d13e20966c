"""One shard's watch over what goes into its models and what comes out. A station, with state of its own.

Upholds `predict_before_learn` on the judging side (predictions and labels are only read), `replay_equals_run` (each
monitor's windows end by its own count of events) and `reads_are_pure`.

The budget: ``drift.expected_run_events`` events bring one false alarm on average, all signals of a shard together.
A signal is compared once a window, so of S signals each may be wrong with the probability of window_events /
(expected_run_events * S) every time; that the mean number of false alarms is then within the budget needs no
independence between them. docs/drift.md has the whole argument.

Shape letters: B events of a batch, J judged ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamlearn.belt.monitors.categories import CategoryMonitor
from streamlearn.belt.monitors.evidence import BLOCKS
from streamlearn.belt.monitors.numbers import ALL_SIGNALS, MEAN_ALONE, NumberMonitor
from streamlearn.belt.monitors.windows import Moved, Rule, Told
from streamlearn.config import Config, Drift, Task
from streamlearn.config.signals import drift_signals
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import (
    MISSING_CATEGORY,
    Bool_BF,
    Code_B,
    Examples,
    Features,
    Float_B,
    Float_BF,
    Int_B,
    Predictions,
)

_INPUTS = "numbers"
_FEATURE, _SAID, _JUDGED = "feature/", "said/", "judged/"
_Monitor = NumberMonitor | CategoryMonitor


@dataclass(frozen=True, slots=True)
class ToldOf:
    """How one signal stands, and of which model; ``""``: of the inputs."""

    model: str
    told: Told


class Watch:
    """Watches the features that models are given, what each says, and how right that is.

    Parameters
    ----------
    numeric, categorical
        Features of the stream, in their order; those that the settings ignore are passed over.
    models
        Those whose outputs are watched.
    signals
        How many signals share the budget, those of other detectors included.
    """

    def __init__(
        self,
        task: Task,
        numeric: Sequence[str],
        categorical: Sequence[str],
        models: Sequence[str],
        settings: Drift,
        signals: int,
    ) -> None:
        rule = rule_of(settings, signals)
        self._task: Task = task
        self._columns = [place for place, name in enumerate(numeric) if settings.watches_feature(name)]
        self._all_columns = len(self._columns) == len(numeric)
        self._every_events = settings.every_events
        self._monitors: dict[str, _Monitor] = {}
        if self._columns:
            names = [numeric[place] for place in self._columns]
            self._monitors[_INPUTS] = NumberMonitor(names, ALL_SIGNALS, rule)
        for name in categorical:
            if settings.watches_feature(name):
                self._monitors[_FEATURE + name] = CategoryMonitor(name, rule)
        for name in models:
            if "outputs" in settings.watch:
                self._monitors[_SAID + name] = _of_outputs(task, rule)
            if "errors" in settings.watch:
                judged = ("error",) if task == "anomaly" else ("error", "calibration")
                self._monitors[_JUDGED + name] = NumberMonitor(judged, MEAN_ALONE, rule)
        self._passed = dict.fromkeys(self._monitors, 0)  # events that came to each, watched or not

    def inputs(self, features: Features) -> list[Moved]:
        """Take the features of events in, in shard order; return what moved, by event."""
        moved: list[Moved] = []
        if _INPUTS in self._monitors:
            rows = self._watched(_INPUTS, len(features))
            value_BF, missing_BF = features.numeric_BF[rows], features.missing_BF[rows]
            if not self._all_columns:
                value_BF, missing_BF = value_BF[:, self._columns], missing_BF[:, self._columns]
            moved += self._numbers(_INPUTS, rows, value_BF, missing_BF)
        for column in features.categorical:
            moved += self._categories(_FEATURE + column.name, column.codes_B, column.values)
        return sorted(moved, key=lambda each: each.index)

    def said(self, model: str, said: Predictions, class_tokens: Sequence[str]) -> list[Moved]:
        """Take what a model said of events in; return what moved, by event."""
        name = _SAID + model
        if name not in self._monitors or not len(said):
            return []
        if said.class_B is not None:  # -1, nothing said, is the last value
            return self._categories(name, said.class_B, (*class_tokens, MISSING_CATEGORY))
        assert said.value_B is not None, "regression and anomaly fill value_B"
        rows = self._watched(name, len(said))
        value_B1 = said.value_B[rows].reshape(-1, 1)
        missing_B1 = ~np.isfinite(value_B1)
        return self._numbers(name, rows, np.where(missing_B1, 0.0, value_B1), missing_B1)

    def judged(
        self, model: str, rows_J: Int_B, errors_J: Float_B, said: Predictions, examples: Examples
    ) -> list[Moved]:
        """Take a model's errors in, and how its shares stand to what came true; return what moved, by event.

        Parameters
        ----------
        rows_J, errors_J
            The rows that were judged, and the error of each.
        """
        name = _JUDGED + model
        if name not in self._monitors:
            return []
        watched = self._watched(name, len(rows_J))
        rows_J, columns = rows_J[watched], [errors_J[watched]]
        if self._task != "anomaly":
            columns.append(self._gaps(rows_J, said, examples))
        value_JF = np.column_stack(columns)
        missing_JF = ~np.isfinite(value_JF)
        moved = self._numbers(name, slice(0, None, 1), np.where(missing_JF, 0.0, value_JF), missing_JF)
        return [replace(each, index=int(rows_J[each.index])) for each in moved]

    def told(self) -> Iterator[ToldOf]:
        """Yield how each signal stood when its last window ended: the inputs', then each model's."""
        for name, monitor in self._monitors.items():
            model = name.partition("/")[2] if name.startswith((_SAID, _JUDGED)) else ""
            yield from (ToldOf(model, told) for told in monitor.told())

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        parts = {name: monitor.snapshot() for name, monitor in self._monitors.items()}
        return Snapshot(
            data={name: {**part.data, "passed": self._passed[name]} for name, part in parts.items()},
            arrays={f"{name}/{key}": a for name, part in parts.items() for key, a in part.arrays.items()},
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused where other things were watched."""
        if set(snapshot.data) != set(self._monitors):
            raise CheckpointRefused(
                f"the checkpoint watches {sorted(snapshot.data)}, the config {sorted(self._monitors)}",
                remedy="set drift.watch and drift.ignore back, or start this stream anew with another checkpoint.path",
            )
        for name, monitor in self._monitors.items():
            prefix = f"{name}/"
            arrays = {k.removeprefix(prefix): v for k, v in snapshot.arrays.items() if k.startswith(prefix)}
            monitor.restore(Snapshot(data=snapshot.data[name], arrays=arrays))
            self._passed[name] = int(snapshot.data[name]["passed"])

    def _watched(self, name: str, events: int) -> slice:
        """Return the rows of so many events that a monitor is given: every so-many-th of all that ever came."""
        start = -self._passed[name] % self._every_events
        self._passed[name] += events
        return slice(start, None, self._every_events)

    def _numbers(self, name: str, rows: slice, value_BF: Float_BF, missing_BF: Bool_BF) -> list[Moved]:
        monitor = self._monitors[name]
        assert isinstance(monitor, NumberMonitor), "its name says of what it is"
        moved = monitor.update(np.ascontiguousarray(value_BF), np.ascontiguousarray(missing_BF))
        return _of_all_rows(moved, rows)

    def _categories(self, name: str, code_B: Code_B, values: Sequence[str]) -> list[Moved]:
        monitor = self._monitors.get(name)
        if not isinstance(monitor, CategoryMonitor):
            return []
        rows = self._watched(name, len(code_B))
        watched_B = np.where(code_B[rows] < 0, np.int32(len(values) - 1), code_B[rows])
        return _of_all_rows(monitor.update(watched_B, values), rows)

    def _gaps(self, rows_J: Int_B, said: Predictions, examples: Examples) -> Float_B:
        """Return of each judged event by how much the model was too high; NaN where it told no number.

        Regression: what was said minus the truth. Binary: the share of class 1 minus whether it was class 1. More
        classes: the share of the class that was said minus whether it was so.
        """
        truth_J = examples.target_B[rows_J]
        if self._task == "regression":
            assert said.value_B is not None, "regression fills value_B"
            with np.errstate(over="ignore"):
                gap_J: Float_B = said.value_B[rows_J] - truth_J
            return gap_J
        share_BC = said.probability_BC
        if share_BC is None or said.class_B is None or share_BC.shape[1] < 2:
            return np.full(len(rows_J), np.nan)
        if self._task == "binary":
            class_J: Code_B | int = 1
        else:
            class_J = said.class_B[rows_J]
        share_J = share_BC[rows_J, class_J]  # where no class was said, the next line has NaN
        share_J = np.where(np.isnan(share_J), 0.0, share_J)
        return np.where(class_J < 0, np.nan, share_J - (truth_J == class_J))


def _of_all_rows(moved: list[Moved], rows: slice) -> list[Moved]:
    return [replace(each, index=rows.start + rows.step * each.index) for each in moved]


def rule_of(settings: Drift, signals: int) -> Rule:
    """Return the rule by which each of so many signals keeps to its part of the budget.

    >>> rule_of(Drift(expected_run_events=1_000_000, window_events=10_000, every_events=4), signals=50)
    Rule(window_events=2500, alarm_probability=0.0002, renews=True)
    """
    watched = settings.window_events // (settings.every_events * BLOCKS) * BLOCKS
    window_events = watched * settings.every_events  # of the stream, the events that are passed over included
    alarm_probability = window_events / (settings.expected_run_events * signals)
    return Rule(watched, min(alarm_probability, 1.0), settings.after_alarm == "renew")


def _of_outputs(task: Task, rule: Rule) -> _Monitor:
    if task in ("binary", "multiclass"):
        return CategoryMonitor("predicted", rule, tells_shares=True)
    return NumberMonitor(("predicted",), ALL_SIGNALS, rule)


def watch_of(config: Config) -> Watch:
    """Return the watch of a config, of no events yet."""
    event, models = config.event, [each.name for each in config.models]
    return Watch(
        config.stream.task,
        event.numeric,
        event.categorical,
        models,
        config.drift,
        max(1, len(drift_signals(config))),
    )
