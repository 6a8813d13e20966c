"""Rebuilds a shard from its events and the order journal: the same bits again, or any earlier version of them.

Upholds `replay_equals_run` where everybody can see it. Reads only: joins no group, sends nothing, and writes a
checkpoint only where it is told to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamlearn.assemble import make_decoder, make_reader, shard_factory
from streamlearn.belt.intake import Intake
from streamlearn.belt.lane import MERGE_PART, Lane
from streamlearn.belt.placing import BEGAN_AT, began_at, place, shards_to_own
from streamlearn.belt.reading import highs_of
from streamlearn.belt.sending import NoOutbox
from streamlearn.checkpoints.digest import state_digest
from streamlearn.checkpoints.inspect import ls, newest_states
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.stores import open_store
from streamlearn.config import Config
from streamlearn.contracts import Reader, ShardState
from streamlearn.environment import Environment
from streamlearn.errors import CheckpointError, ConfigError, SourceError
from streamlearn.events import TopicPartition
from streamlearn.outlets import make_journal

QUIET_SECONDS = 30.0  # a log that brings nothing for so long, before its end, is an error

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to rebuild.

    Parameters
    ----------
    shard
        Its name; needed in partition scope, where there are several.
    to_version
        Stop when so many labelled events were learned. ``None``: at the newest checkpoint, and the digests
        must agree; where there is none, at the end of the log.
    into
        Folder or URL for a checkpoint of what was rebuilt.
    """

    shard: str | None = None
    to_version: int | None = None
    into: str | None = None


def replay(config: Config, options: ReplayOptions, environment: Environment) -> dict[str, Any]:
    """Rebuild a shard and return what it is.

    Returns
    -------
    ``{"stream", "shard", "events_learned", "events_rejected", "next_offsets", "state_digest", "checkpoint_digest",
    "path", "seconds"}``; ``checkpoint_digest`` is null where there was nothing to compare with.

    Raises
    ------
    ConfigError
        No such shard, or a version that was never reached.
    CheckpointError
        Another digest than the checkpoint's.
    SourceError
        The log does not hold all events of the shard any more, or no broker answers.
    """
    began = time.monotonic()
    reader, identify = make_reader(config)
    intake = Intake(
        reader,
        make_decoder(config),
        config.source.chosen.poll_events,
        config.source.chosen.buffer_bytes_max,
        threaded=False,
    )
    try:
        name, partitions = _choose(config, reader.partitions(), options.shard)
        known = _newest(config, name, environment)
        lane = _lane(config, reader, name, partitions, known, bounded=options.to_version is None)
        lane.shard.source = {**identify(), BEGAN_AT: began_at(None, lane.shard.next_offsets)}
        _learn(lane, intake, options.to_version)
    finally:
        intake.close()
    return _result(config, options, environment, lane, known, time.monotonic() - began)


def _choose(
    config: Config, partitions: list[TopicPartition], shard: str | None
) -> tuple[str, tuple[TopicPartition, ...]]:
    shards = shards_to_own(config.stream, partitions, partitions, config.label_topic)
    name = shard or (next(iter(shards)) if len(shards) == 1 else None)
    if name is None or name not in shards:
        what = "which shard is to be rebuilt?" if name is None else f"there is no shard {name!r}"
        raise ConfigError(what, remedy=f"name one with --shard: {', '.join(shards)}")
    return name, shards[name]


def _newest(config: Config, shard: str, environment: Environment) -> ShardState | None:
    path, stream = config.checkpoint.path, config.stream.name
    if not any(row["stream"] == stream and row["shard"] == shard for row in ls(path)):
        return None
    states = newest_states(path, stream, key=environment.checkpoint_key)
    return next((state for state in states if state.shard == shard), None)


def _lane(
    config: Config,
    reader: Reader,
    name: str,
    partitions: tuple[TopicPartition, ...],
    known: ShardState | None,
    *,
    bounded: bool,
) -> Lane:
    """Return the shard as it was in the beginning, and its events in the order in which it learned them."""
    kafka = config.source.kafka
    if known is not None and BEGAN_AT in known.source:
        first = {TopicPartition(topic, number): at for topic, number, at in known.source[BEGAN_AT]}
    else:
        placed = place(reader, partitions, {}, kafka.start if kafka else "earliest", "stop")
        first = {partition: where.next_offset for partition, where in placed.items()}
    for partition, offset in first.items():
        low = reader.watermarks(partition).low
        if offset < low:
            raise SourceError(
                f"{partition} begins at {low} now, and the shard began at {offset}: its first events are gone",
                remedy="raise the topic's retention for what you want to be able to rebuild",
            )
    ends: Offsets = highs_of(reader, sorted(first))
    if bounded and known is not None:
        ends = known.next_offsets
    cuts = [
        {partition: min(offset, ends.get(partition, offset)) for partition, offset in cut.items()}
        for cut in make_journal(config)(name, first)
    ]
    shard = shard_factory(config)(name, first)
    return Lane(shard, config.topics, {}, None, ends, NoOutbox(), {}, cuts)


def _learn(lane: Lane, intake: Intake, to_version: int | None) -> None:
    lane.begin(intake.assign(lane.shard.next_offsets))
    quiet_since = time.monotonic()
    # A message of many events is learned as a whole: the version may then be passed by what follows in it.
    while not lane.is_done and (to_version is None or lane.shard.events_learned < to_version):
        left = None if to_version is None else to_version - lane.shard.events_learned
        events = lane.next(0.0, 5000 if left is None else min(5000, left))
        if events is not None:
            for _outcome in lane.shard.advance(events):
                pass
            quiet_since = time.monotonic()
            continue
        for portion in intake.take(0.1):
            if lane.offer(portion):
                quiet_since = time.monotonic()
        if time.monotonic() - quiet_since > QUIET_SECONDS:
            raise SourceError(
                f"nothing more came for {QUIET_SECONDS:g} s, and the shard's events are not at their end",
                remedy="see that the broker answers, and that the topic still holds the events",
            )


def _result(
    config: Config,
    options: ReplayOptions,
    environment: Environment,
    lane: Lane,
    known: ShardState | None,
    seconds: float,
) -> dict[str, Any]:
    shard = lane.shard
    if options.to_version is not None and shard.events_learned < options.to_version:
        raise ConfigError(
            f"version {options.to_version} was never reached: the log ends at {shard.events_learned}",
            remedy="ask for a version that the stream has learned (streamlearn checkpoints show)",
        )
    state = shard.snapshot({MERGE_PART: lane.clocks()})
    digest, expected = state_digest(state), None
    if options.to_version is None and known is not None:
        expected = state_digest(known)
        if digest != expected:
            raise CheckpointError(
                f"events and journal lead to the digest {digest}, and the checkpoint of {shard.name} has {expected}",
                remedy="compare versions of River, NumPy and torch, and whether events were skipped (on_gap) "
                "or learned on a GPU; otherwise this is a bug worth reporting",
            )
    path = None
    if options.into is not None:
        store = open_store(options.into, config.stream.name)
        keeper = CheckpointKeeper(store, keep=config.checkpoint.keep, key=environment.checkpoint_key)
        keeper.claim(shard.name)
        path = keeper.publish(replace(state, sequence=1)).path
    return {
        "stream": config.stream.name,
        "shard": shard.name,
        "events_learned": state.events_learned,
        "events_rejected": state.events_rejected,
        "next_offsets": [
            {"topic": p.topic, "partition": p.partition, "next_offset": n}
            for p, n in state.next_offsets.items()
        ],
        "state_digest": digest,
        "checkpoint_digest": expected,
        "path": path,
        "seconds": round(seconds, 3),
    }
