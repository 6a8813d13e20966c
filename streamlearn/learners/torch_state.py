"""All that a torch learner has learned, in one place: what a checkpoint of it holds.

Upholds `replay_equals_run`: what ``restore`` makes of a snapshot continues with the same bits as the
state that was snapshotted, on the same kind of CPU with the same ``threads``. Random generators have no
place here: they are made anew from counts (see ``torch_mlp``). A checkpoint that was written on another
device is taken; its bits then continue as that device rounds.

A snapshot is arrays and JSON, nothing pickled. Rows of the mini-batch that are not filled are not in it,
so equal states have equal snapshots.

Shape letters: B events, F numeric features, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streamlearn.config import Task, TorchModel
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.learners.snapshot_memory import SnapshotMemory
from streamlearn.learners.torch_inputs import MiniBatch, Statistics
from streamlearn.learners.torch_mlp import Network

Array = npt.NDArray[Any]

REMEDY = (
    "restore the setting under which the checkpoint was written, or give the model another name, "
    "under which it starts anew"
)


@dataclass(slots=True)
class State:
    """Everything that learning changes."""

    network: Network
    statistics: Statistics  # of the numeric features, over all completed mini-batches
    target_statistics: Statistics  # of the target; regression only
    batch: MiniBatch  # labelled events that no step has learned yet
    known_C: npt.NDArray[np.bool_]  # classes that a completed mini-batch held; replaced, never written to
    unlabelled_row: int  # of the next unlabelled event in its block
    batches_completed: int  # refused ones too
    memory: SnapshotMemory = field(default_factory=SnapshotMemory)  # of snapshots

    def snapshot(self, layout: Mapping[str, Any]) -> Snapshot:
        """Copy the state out. ``layout`` is what must be equal where it is restored; JSON types only."""
        network, filled = self.network, self.batch.filled
        arrays: dict[str, Array] = {
            "statistics/mean": self.statistics.mean_F.copy(),
            "statistics/squares": self.statistics.squares_F.copy(),
            "target_statistics/mean": self.target_statistics.mean_F.copy(),
            "target_statistics/squares": self.target_statistics.squares_F.copy(),
            "batch/numeric": self.batch.numeric_BF[:filled].copy(),
            "batch/missing": self.batch.missing_BF[:filled].copy(),
            "batch/bucket": self.batch.bucket_BK[:filled].copy(),
            "batch/target": self.batch.target_B[:filled].copy(),
            "known": self.known_C.copy(),
        }
        with self.memory.in_use():
            for kind, flat in {"parameter": network.weights, **network.optimizer.moments}.items():
                copy = torch.from_numpy(self.memory.copied(flat.detach().cpu().numpy()))
                arrays |= {f"{kind}/{name}": part.numpy() for name, part in network.named(copy).items()}
        arrays["optimizer_steps"] = _array(network.optimizer.steps)
        data = {
            "layout": dict(layout),
            "outputs": network.outputs,
            "statistics_count": self.statistics.count,
            "target_statistics_count": self.target_statistics.count,
            "batch_filled": filled,
            "unlabelled_row": self.unlabelled_row,
            "batches_completed": self.batches_completed,
            "batches_refused": int(network.optimizer.refused.item()),  # a sync, once a checkpoint
        }
        return Snapshot(data=data, arrays=arrays)

    def restore(self, snapshot: Snapshot, layout: Mapping[str, Any]) -> None:
        """Become what was snapshotted, bit by bit; all of it, or on an error nothing.

        Raises
        ------
        CheckpointRefused
            When ``layout`` differs, or an array is missing or has another shape or type.
        """
        # Step 1. Verify that the snapshot is of such a network.
        _verify_layout(snapshot.data.get("layout"), layout)
        data, take = snapshot.data, _Arrays(snapshot.arrays, str(layout["name"]))
        filled, outputs = int(data["batch_filled"]), int(data["outputs"])

        # Step 2. Take every array, or refuse; nothing is changed yet.
        statistics = take.statistics("statistics", int(data["statistics_count"]), self.statistics)
        target_statistics = take.statistics(
            "target_statistics", int(data["target_statistics_count"]), self.target_statistics
        )
        batch = self.batch
        rows = {
            key: take.like(f"batch/{key}", buffer, (filled, *buffer.shape[1:]))
            for key, buffer in (
                ("numeric", batch.numeric_BF),
                ("missing", batch.missing_BF),
                ("bucket", batch.bucket_BK),
                ("target", batch.target_B),
            )
        }
        known_C = take.like(
            "known", self.known_C, (outputs if layout["task"] == "multiclass" else len(self.known_C),)
        )
        shapes = self.network.shapes(outputs)
        weights = take.tensors("parameter", shapes)
        moments = {moment: take.tensors(moment, shapes) for moment in self.network.optimizer.moments}
        steps = torch.from_numpy(take.take("optimizer_steps", np.float32, ()))
        take.nothing_left()

        # Step 3. Put it in place.
        self.network.load(outputs, weights, moments, steps)
        self.statistics, self.target_statistics, self.known_C = statistics, target_statistics, known_C
        batch.filled = filled
        batch.numeric_BF[:filled] = rows["numeric"]
        batch.missing_BF[:filled] = rows["missing"]
        batch.bucket_BK[:filled] = rows["bucket"]
        batch.target_B[:filled] = rows["target"]
        self.unlabelled_row = int(data["unlabelled_row"])
        self.batches_completed = int(data["batches_completed"])
        self.network.optimizer.refused.fill_(int(data["batches_refused"]))


def layout_of(
    settings: TorchModel, task: Task, numeric: tuple[str, ...], categorical: tuple[str, ...], seed: int
) -> dict[str, Any]:
    """Return what a checkpoint and its reader must agree on; learning rate, dropout, precision and clip may change."""
    return {
        "name": settings.name,
        "task": task,
        "seed": seed,
        "numeric": list(numeric),
        "categorical": list(categorical),
        "hidden": list(settings.hidden),
        "batch_events": settings.batch_events,
        "optimizer": settings.optimizer,
        "embedding_buckets": settings.embedding_buckets,
        "embedding_width": settings.embedding_width,
        "missing_indicator": settings.missing_indicator,
    }


class _Arrays:
    """The arrays of a snapshot; each is taken once, as a copy, with the shape and type that it must have."""

    def __init__(self, arrays: Mapping[str, Any], model: str) -> None:
        self._left = dict(arrays)
        self._model = model

    def take(self, name: str, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Array:
        if name not in self._left:
            raise self._refused(f"has no array {name!r}")
        array = np.array(self._left.pop(name))
        if array.shape != shape or array.dtype != dtype:
            raise self._refused(
                f"holds {name!r} as {array.dtype} of shape {array.shape}, where this network has {np.dtype(dtype)} of {shape}"
            )
        return array

    def like(self, name: str, example: Array, shape: tuple[int, ...]) -> Array:
        return self.take(name, example.dtype, shape)

    def statistics(self, name: str, count: int, example: Statistics) -> Statistics:
        shape = example.mean_F.shape
        return Statistics(
            count,
            self.take(f"{name}/mean", np.float64, shape),
            self.take(f"{name}/squares", np.float64, shape),
        )

    def tensors(self, kind: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        return {
            name: torch.from_numpy(self.take(f"{kind}/{name}", np.float32, shape))
            for name, shape in shapes.items()
        }

    def nothing_left(self) -> None:
        if self._left:
            raise self._refused(f"holds {sorted(self._left)[0]!r}, which this network has no place for")

    def _refused(self, what: str) -> CheckpointRefused:
        return CheckpointRefused(f"the checkpoint of model {self._model!r} {what}", remedy=REMEDY)


def _verify_layout(theirs: Mapping[str, Any] | None, ours: Mapping[str, Any]) -> None:
    if theirs is None:
        raise CheckpointRefused(
            f"the checkpoint of model {ours['name']!r} was not written by the torch learner", remedy=REMEDY
        )
    for key, value in ours.items():
        if theirs.get(key) != value:
            raise CheckpointRefused(
                f"the checkpoint of model {ours['name']!r} was written with {key} = {theirs.get(key)!r}, and now it is {value!r}",
                remedy=REMEDY,
            )


def _array(tensor: Tensor) -> Array:
    return np.array(tensor.detach().cpu().numpy())
