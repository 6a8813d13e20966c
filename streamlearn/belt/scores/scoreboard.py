"""One shard's scores beside the metrics: verdicts, calibration, slices. A station, with state of its own.

Upholds `predict_before_learn` on the judging side (only predictions and errors are read here), `replay_equals_run`
(all of it is sums over the judged events, in order) and `reads_are_pure`.

Shape letters: B events of a batch, L learners: the configured models, then the baselines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamlearn.belt.scores.calibration import Calibration
from streamlearn.belt.scores.slices import Slices, as_json
from streamlearn.belt.scores.verdicts import Verdict, Verdicts
from streamlearn.config import Task
from streamlearn.config.quality import Evaluate
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Examples, Float_B, Float_BC, Int_B, Predictions

# Of one learner: the rows of a batch on which it was judged, and its errors there.
Errors = tuple[Int_B, Float_B]


class Scoreboard:
    """Takes note of what each learner said and how wrong it was.

    Parameters
    ----------
    task
        Of the stream.
    models, baselines
        Names, in the order in which they learn.
    settings
        The config section.
    """

    def __init__(
        self, task: Task, models: Sequence[str], baselines: Sequence[str], settings: Evaluate
    ) -> None:
        self.names = [*models, *baselines]
        self._models = list(models)
        self._settings = settings
        self.verdicts = Verdicts(models, baselines, task)
        has_shares = task in ("binary", "multiclass")
        self.calibrations = {
            name: Calibration(is_binary=task == "binary") for name in (models if has_shares else ())
        }
        self.slices = {feature: Slices(feature, len(self.names)) for feature in settings.slices}

    def update(
        self, said: Mapping[str, Predictions], errors: Mapping[str, Errors], examples: Examples
    ) -> None:
        """Take note of a batch, in shard order. Who is warmed up says nothing for the others (warming.py)."""
        error_LB: Float_BC = np.full((len(self.names), len(examples)), np.nan)
        for place, name in enumerate(self.names):
            if name in errors:
                rows_J, errors_J = errors[name]
                error_LB[place, rows_J] = errors_J
        self.verdicts.update(error_LB)
        for name, calibration in self.calibrations.items():
            if name in said:
                calibration.update(said[name], examples)
        if self.slices:
            for categories in examples.features.categorical:
                if categories.name in self.slices:
                    self.slices[categories.name].update(categories, error_LB)

    def verdicts_told(self, others: Sequence[Scoreboard] = ()) -> list[Verdict]:
        """Return how each model stands to the baselines and the other models, over this shard and others."""
        return self.verdicts.told(self._settings.verdict_error, [other.verdicts for other in others])

    def told(self, others: Sequence[Scoreboard] = ()) -> dict[str, dict[str, Any]]:
        """Return for each model, as JSON types: ``verdicts``, and where there are any ``calibration`` and ``slices``."""
        verdicts = self.verdicts_told(others)
        found: dict[str, dict[str, Any]] = {
            name: {"verdicts": [each.as_json() for each in verdicts if each.model == name]}
            for name in self._models
        }
        for name, calibration in self.calibrations.items():
            of_others = [other.calibrations[name] for other in others]
            error = calibration.error(of_others)
            if error is not None:
                found[name]["calibration"] = {"error": error, "bins": calibration.bins(of_others)}
        for feature, slices in self.slices.items():
            same_slices = [other.slices[feature] for other in others]
            rows = as_json(slices, self.names, self._settings.slice_values_max, same_slices)
            for name in self._models:
                found[name].setdefault("slices", {})[feature] = rows[name]
        return found

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        parts = self._parts()
        return Snapshot(
            data={name: dict(part.snapshot().data) for name, part in parts.items()},
            arrays={
                f"{name}/{key}": array
                for name, part in parts.items()
                for key, array in part.snapshot().arrays.items()
            },
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused when it is of other models or slices."""
        parts = self._parts()
        if set(snapshot.data) != set(parts):
            raise CheckpointRefused(
                f"the checkpoint has the scores {sorted(snapshot.data)}, the config {sorted(parts)}",
                remedy="set evaluate.slices back, or start this stream anew with another checkpoint.path",
            )
        for name, part in parts.items():
            prefix = f"{name}/"
            arrays = {k.removeprefix(prefix): v for k, v in snapshot.arrays.items() if k.startswith(prefix)}
            part.restore(Snapshot(data=snapshot.data[name], arrays=arrays))

    def _parts(self) -> dict[str, Verdicts | Calibration | Slices]:
        return {
            "verdicts": self.verdicts,
            **{f"calibration/{name}": each for name, each in self.calibrations.items()},
            **{f"slices/{name}": each for name, each in self.slices.items()},
        }
