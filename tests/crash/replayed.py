"""What an uninterrupted replay of a live stream says, in the order in which the stream was learned.

As ``streamlearn replay`` does, from events and order journal; and what it only learns from, this also keeps: the
records that would have left. Runs in a process under the stream's own hash seed, as the workers do.
"""

from __future__ import annotations

from typing import Any

from streamlearn.assemble import make_reader
from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.intake import Intake
from streamlearn.belt.lane import Lane
from streamlearn.belt.placing import shards_to_own
from streamlearn.belt.sending import emission_of
from streamlearn.config import Config
from streamlearn.connectors.kafka_sinks import letter_headers
from streamlearn.emission import Emission
from streamlearn.environment import Environment
from streamlearn.replay import ReplayOptions, _lane, _newest, replay


def replayed(config: Config) -> dict[str, Any]:
    """Return digests by shard, prediction records in their order, and dead letters; bytes as Latin-1 text.

    Raises CheckpointError where a shard's checkpoint has another digest.
    """
    reader, _ = make_reader(config)
    partitions = reader.partitions()
    reader.close()
    digests: dict[str, str] = {}
    predictions: list[str] = []
    letters: list[Any] = []
    for shard in shards_to_own(config.stream, partitions, partitions):
        digests[shard] = replay(config, ReplayOptions(shard=shard), Environment())["state_digest"]
        for emission in _emissions(config, shard):
            for records in emission.predictions:
                predictions += [value.decode("latin-1") for value in records.values.to_pylist()]
            for letter in emission.letters:
                headers = [[key, _text(value)] for key, value in letter_headers(letter, config.stream.name)]
                letters.append([_text(letter.key), _text(letter.value), headers])
    return {"digests": digests, "predictions": predictions, "letters": letters}


def _text(value: str | bytes | None) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else value.decode("latin-1")


def _emissions(config: Config, shard: str) -> list[Emission]:
    reader, _ = make_reader(config)
    decoder = JsonDecoder(config.event, config.stream.task)
    kafka = config.source.chosen
    intake = Intake(reader, decoder, kafka.poll_events, kafka.buffer_bytes_max, threaded=False)
    try:
        every = reader.partitions()
        partitions = shards_to_own(config.stream, every, every)[shard]
        known = _newest(config, shard, Environment())
        assert known is not None, f"{shard} has no checkpoint"
        lane = _lane(config, reader, shard, partitions, known, bounded=True)
        return _learn(config, lane, intake)
    finally:
        intake.close()


def _learn(config: Config, lane: Lane, intake: Intake) -> list[Emission]:
    emissions = []
    lane.begin(intake.assign(lane.shard.next_offsets))
    while not lane.is_done:
        events = lane.next(0.0, 5000)
        if events is None:
            for portion in intake.take(0.1):
                lane.offer(portion)
            continue
        for outcome in lane.shard.advance(events):
            emission = emission_of(
                outcome,
                config.stream.name,
                config.topics,
                predicts="json",
                next_offsets=outcome.next_offsets,
                cuts=(),
                covered={},
            )
            if emission is not None:
                emissions.append(emission)
    return emissions
