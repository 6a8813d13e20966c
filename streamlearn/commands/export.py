"""``streamlearn checkpoints export``."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from streamlearn.checkpoints.inspect import newest_states
from streamlearn.config import RiverModel
from streamlearn.contracts import ShardState
from streamlearn.engines import river_object, stream_in
from streamlearn.environment import Environment
from streamlearn.errors import ConfigError

T = TypeVar("T")


class Wanted(NamedTuple):
    """What to export; ``None``: the only one there is."""

    stream: str | None = None
    shard: str | None = None
    model: str | None = None


def export_river(path: str, wanted: Wanted, output: Path) -> dict[str, Any]:
    """Write a River model of the newest checkpoint as a pickle, whichever engine ran it.

    The object is River's own and needs nothing of streamlearn: ``pickle.load`` it under the same version of
    River, and it predicts and goes on learning.

    Returns
    -------
    ``{"stream", "shard", "model", "events_learned", "class", "path"}``.

    Raises
    ------
    CheckpointError
        There is no checkpoint that can be read.
    ConfigError
        No such shard or model, or one that is not River's.
    """
    states = newest_states(path, wanted.stream, key=Environment().checkpoint_key)
    state = _one("shard", {each.shard: each for each in states}, wanted.shard)
    model = _one("River model", _river_models(state), wanted.model)
    learned = river_object(model, stream_in(state.config), state.parts[f"model/{model.name}"])
    output.write_bytes(pickle.dumps(learned))
    entry = next(each for each in state.models if each.name == model.name)
    return {
        "stream": state.stream,
        "shard": state.shard,
        "model": model.name,
        "events_learned": entry.events_learned,
        "class": f"{type(learned).__module__}.{type(learned).__qualname__}",
        "path": str(output),
    }


def _river_models(state: ShardState) -> dict[str, RiverModel]:
    return {
        each["name"]: RiverModel.model_validate(each)
        for each in state.config["models"]
        if each["learner"] == "river"
    }


def _one(kind: str, found: dict[str, T], wanted: str | None) -> T:
    if wanted is None and len(found) == 1:
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    what = f"there is no {kind} {wanted!r}" if wanted is not None else f"which {kind}?"
    names = ", ".join(found) or "there is none"
    raise ConfigError(what, remedy=f"name one of these with --{kind.split()[-1]}: {names}")
