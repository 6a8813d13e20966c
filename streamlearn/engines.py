"""Which engine runs a River pipeline: kernels compiled from it, or River itself. A part of ``assemble``.

Both give the same numbers to 1e-9, and each goes on from a checkpoint that the other wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streamlearn.checkpoints.unpickle import loads
from streamlearn.config import Config, RiverModel, Task
from streamlearn.contracts import Learner, Snapshot
from streamlearn.errors import ConfigError
from streamlearn.learners.compiled.learner import CompiledLearner, make_compiled
from streamlearn.learners.compiled.refusal import Refusal
from streamlearn.learners.river_build import build
from streamlearn.learners.river_model import RiverLearner
from streamlearn.learners.river_pickle import RiverPickler


class Stream(NamedTuple):
    """What of a stream a River model depends on."""

    task: Task
    seed: int
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]


def stream_of(config: Config) -> Stream:
    """Return what of a config a River model depends on."""
    return Stream(config.stream.task, config.stream.seed, config.event.numeric, config.event.categorical)


def stream_in(learned_under: Mapping[str, Any]) -> Stream:
    """Return the same of the config that a checkpoint holds."""
    stream, event = learned_under["stream"], learned_under["event"]
    return Stream(stream["task"], stream["seed"], tuple(event["numeric"]), tuple(event["categorical"]))


def make_river(model: RiverModel, stream: Stream) -> Learner:
    """Return a learner that has learned nothing, on the engine that the config names.

    Raises
    ------
    ConfigError
        The pipeline cannot be built, or ``engine = "compiled"`` cannot compile it.
    """
    if model.engine != "river":
        made = compiled(model, stream)
        if isinstance(made, CompiledLearner):
            return made
        if model.engine == "compiled":
            raise ConfigError(
                f"model {model.name!r} cannot be compiled: {made}", remedy='set engine = "auto", or "river"'
            )

    def translate(snapshot: Snapshot) -> Snapshot:
        return as_river(model, stream, snapshot)

    return RiverLearner(
        model.name,
        build(model.pipeline, stream.seed),
        stream.task,
        missing_indicator=model.missing_indicator,
        loads=loads,
        translate=translate,
    )


def compiled(model: RiverModel, stream: Stream) -> CompiledLearner | Refusal:
    """Return a compiled learner of a pipeline, or why there is none. Raises ConfigError."""
    return make_compiled(
        model.name,
        build(model.pipeline, stream.seed),
        stream.task,
        stream.numeric,
        stream.categorical,
        missing_indicator=model.missing_indicator,
        loads=loads,
    )


def why_not_compiled(model: RiverModel, stream: Stream) -> str | None:
    """Return why River itself runs a pipeline; ``None`` where it does not. Raises ConfigError."""
    if model.engine == "river":
        return 'engine = "river"'
    made = compiled(model, stream)
    return str(made) if isinstance(made, Refusal) else None


def as_river(model: RiverModel, stream: Stream, snapshot: Snapshot) -> Snapshot:
    """Return a snapshot as the generic engine writes it, whichever engine wrote it."""
    if snapshot.data.get("engine") != CompiledLearner.engine:
        return snapshot
    pickled = RiverPickler().dumps(river_object(model, stream, snapshot))
    return Snapshot(data={"events_learned": snapshot.data["events_learned"]}, pickled=pickled)


def river_object(model: RiverModel, stream: Stream, snapshot: Snapshot) -> Any:
    """Return a real River object that has learned what a snapshot of either engine holds, and goes on from it.

    Raises
    ------
    CheckpointRefused
        The snapshot is of another pipeline.
    """
    if snapshot.pickled is not None:
        return loads(snapshot.pickled)
    made = compiled(model, stream)
    assert isinstance(made, CompiledLearner), f"what was compiled once cannot be compiled: {made}"
    made.restore(snapshot)
    return made.to_river()
