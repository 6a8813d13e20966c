"""What must be true of a world, at every step and in the end; each is named for its invariant (DESIGN.md).

They know the logs and what a right reader makes of each message, and nothing of how the belt works: the order
of a stream is worked out here a second time, from the journal's cuts alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from chain_learner import order_of
from world_broker import LABEL_TOPIC, TOPIC, Broker, Message, Offsets
from world_labels import RULES, joined, small_segments

from streamlearn.assemble import make_decoder
from streamlearn.belt.merge import BEFORE_ALL_TIME_US
from streamlearn.checkpoints.digest import state_digest
from streamlearn.config import Config
from streamlearn.contracts import ShardState, Snapshot
from streamlearn.events import RAW_SCHEMA, TopicPartition

MODEL = "model/chain"
STATE = "state"
INPUTS = "inputs"  # the one part in which the place of rejected events shows

Place = tuple[int, int]  # of an event
At = tuple[TopicPartition, int]  # of any message


class Oracles:
    """Judges states, commits and ends of one world."""

    def __init__(self, config: Config, broker: Broker) -> None:
        self._config = config
        self._broker = broker
        self._records_seen: dict[str, int] = {}
        self._sent: dict[str, set[Place]] = {}

    # ---------------------------------------------------------------------------------- every step

    def learned_once(self, what: str, snapshot: Snapshot, next_offsets: Offsets) -> None:
        """What a model has learned is what the logs hold below its offsets, each once, in offset order."""
        learned = order_of(snapshot.arrays[STATE].tobytes())
        if self._broker.delayed:
            self._learned_by_labels(what, learned, next_offsets)
            return
        for partition, next_offset in next_offsets.items():
            got = [offset for p, offset in learned if p == partition.partition]
            expected = self._labelled(partition, next_offset)
            assert got == expected, f"learned_once: {what}, {partition}: {got}, and not {expected}"
        count = sum(len(self._labelled(p, n)) for p, n in next_offsets.items())
        assert len(learned) == count, f"learned_once: {what} learned from partitions that it does not hold"

    def _learned_by_labels(self, what: str, learned: Sequence[Place], next_offsets: Offsets) -> None:
        """Each at most once, and only with its event and a label below the offsets; ``end`` knows which and when."""
        assert len(set(learned)) == len(learned), f"learned_once: {what} learned twice: {learned}"
        labelled = {
            message.id
            for partition, next_offset in next_offsets.items()
            if partition.topic == LABEL_TOPIC
            for _, message in self._messages(partition, next_offset)
        }
        for number, offset in learned:
            event = TopicPartition(TOPIC, number)
            assert offset < next_offsets.get(event, 0), f"learned_once: {what} is ahead of {event}: {offset}"
            assert f"{number}-{offset}" in labelled, f"learned_once: {what} has no label of {event} {offset}"

    def checkpoint(self, path: str, state: ShardState) -> None:
        """A published checkpoint is whole, and covers nothing that could still be lost."""
        self.learned_once(f"offsets_travel_with_state: {path}", state.parts[MODEL], state.next_offsets)
        sent = self._broker.shards[state.shard]
        places = {(each.partition, each.offset) for each in sent.records} | set(sent.letters)
        for partition, next_offset in state.next_offsets.items():
            missing = [
                o
                for o, _ in self._messages(partition, next_offset)
                if partition.topic == TOPIC and (partition.partition, o) not in places
            ]
            assert not missing, f"learned_once: {path} covers {partition} {missing}, of which nothing is out"
            if self._config.exactly_once and next_offset:
                committed = self._broker.offsets.get(partition, 0)
                assert committed >= next_offset or not self._messages(partition, next_offset), (
                    f"publish_before_commit: {path} covers {partition} up to {next_offset}, sent is {committed}"
                )

    def committed(self, shard: str) -> None:
        """A transaction repeats nothing and leaves nothing out."""
        sent = self._broker.shards[shard]
        seen = self._sent.setdefault(shard, set())
        for record in sent.records[self._records_seen.get(shard, 0) :]:
            place = (record.partition, record.offset)
            assert place not in seen, f"exactly once: {shard} sent {place} again"
            seen.add(place)
        self._records_seen[shard] = len(sent.records)
        assert len(set(sent.letters)) == len(sent.letters), f"exactly once: {shard} repeats a dead letter"
        places = seen | set(sent.letters)
        for partition in self.partitions_of(shard):
            if partition.topic != TOPIC:
                continue
            below = self._messages(partition, self._broker.offsets.get(partition, 0))
            missing = [offset for offset, _ in below if (partition.partition, offset) not in places]
            assert not missing, f"exactly once: {shard} left out {partition} {missing}"

    def group_offsets(self, durable: Mapping[TopicPartition, int], told: Offsets) -> None:
        """What the group is told, at least once, never leads the durable checkpoint."""
        for partition, next_offset in told.items():
            assert next_offset <= durable.get(partition, 0), (
                f"publish_before_commit: the group was told {next_offset} of {partition}, {durable} is durable"
            )

    # ------------------------------------------------------------------------------------- the end

    def end(self, newest: Mapping[str, ShardState]) -> None:
        """All that was produced was learned and sent; state and predictions are those of a straight run."""
        held = {partition for state in newest.values() for partition in state.next_offsets}
        assert held == set(self._broker.logs), f"learned_once: only {held} was learned"
        for shard, state in newest.items():
            for partition, next_offset in state.next_offsets.items():
                high = self._broker.logs[partition].high
                assert self._messages(partition, high) == self._messages(partition, next_offset), (
                    f"learned_once: {partition} ends at {high}, learned is {next_offset}"
                )
            self.learned_once(f"the end of {shard}", state.parts[MODEL], state.next_offsets)
            order = self._order(shard, state)
            if self._broker.delayed:
                learned = order_of(state.parts[MODEL].arrays[STATE].tobytes())
                expected = joined(self._broker, order, RULES)
                assert learned == expected, f"learned_once: {shard} learned {learned}, and not {expected}"
            said, digest = self._straight(shard, state, order)
            kept = (lambda s: s) if self.order_is_known else _without_inputs
            assert state_digest(kept(state)) == state_digest(kept(digest)), (
                f"replay_equals_run: state of {shard}"
            )
            self._predictions(shard, order, said)
            self._dead_letters(shard, state)

    @property
    def order_is_known(self) -> bool:
        """Whether anything outside of the state says in which order a shard took all its messages."""
        return self._config.exactly_once or self._config.stream.scope == "partition"

    def _predictions(
        self, shard: str, order: Sequence[At], said: Mapping[Place, tuple[int, dict[str, float]]]
    ) -> None:
        records = self._broker.shards[shard].records
        if self._config.exactly_once:
            places = [(each.partition, each.offset) for each in records]
            sent = [(partition.partition, offset) for partition, offset in order if partition.topic == TOPIC]
            expected = [place for place in sent if place in said]
            assert places == expected, f"exactly once: {shard} sent {places}, and not {expected}"
            versions = [each.version for each in records]
            assert versions == sorted(versions), f"exactly once: versions of {shard} go back"
            for each in records:
                assert (each.version, each.said) == said[each.partition, each.offset], (
                    f"replay_equals_run: {shard} said {each}, a straight run {said[each.partition, each.offset]}"
                )
            return
        # At least once: what was said of an event last is what the lasting state said of it. In partition scope
        # the order is always the same, and so is every repeat.
        last = {(each.partition, each.offset): (each.version, each.said) for each in records}
        assert set(last) == set(said), f"at least once: {shard} left out {set(said) - set(last)}"
        if self._config.stream.scope == "partition":
            for each in records:
                assert (each.version, each.said) == said[each.partition, each.offset], (
                    f"at least once: {each}"
                )

    def _dead_letters(self, shard: str, state: ShardState) -> None:
        letters = self._broker.shards[shard].letters
        expected = {
            (partition.partition, offset)
            for partition in state.next_offsets
            if partition.topic == TOPIC
            for offset, message in self._messages(partition, self._broker.logs[partition].high)
            if not message.accepted
        }
        assert set(letters) == expected, f"learned_once: dead letters of {shard}"
        if self._config.exactly_once:
            assert len(letters) == len(expected), f"exactly once: dead letters of {shard}"

    def _order(self, shard: str, state: ShardState) -> list[At]:
        """In which order the shard took its messages: by offset, by the journal, or as its model has it."""
        if self._config.stream.scope == "partition" and not self._broker.delayed:
            (partition,) = state.next_offsets
            return [
                (partition, offset) for offset, _ in self._messages(partition, state.next_offsets[partition])
            ]
        if self._config.exactly_once:
            return self._journaled(self._broker.shards[shard].cuts)
        order: list[At] = []
        done: dict[int, int] = {}
        learned = order_of(state.parts[MODEL].arrays[STATE].tobytes())
        for number, offset in [
            *learned,
            *((p.partition, n - 1) for p, n in sorted(state.next_offsets.items())),
        ]:
            partition = TopicPartition(TOPIC, number)
            messages = self._messages(partition, offset + 1)
            order += [(partition, at) for at, _ in messages if at >= done.get(number, 0)]
            done[number] = offset + 1
        return order

    def _journaled(self, cuts: Iterable[Offsets]) -> list[At]:
        """Between two cuts by running time, ties by partition; of equals the offset order stands."""
        order: list[At] = []
        done: dict[TopicPartition, int] = {}
        clocks: dict[TopicPartition, int] = {}
        for cut in cuts:
            waiting: list[tuple[int, TopicPartition, int]] = []
            for partition, next_offset in cut.items():
                first = done.get(partition, 0)
                assert next_offset >= first, f"offsets_increase: the journal's {partition} goes back to {cut}"
                for offset, message in self._messages(partition, next_offset):
                    if offset >= first:
                        if message.accepted:
                            clocks[partition] = max(clocks.get(partition, -1), message.time_ms)
                        waiting.append((clocks.get(partition, -1), partition, offset))
                done[partition] = next_offset
            order += [(partition, offset) for _, partition, offset in sorted(waiting)]
        return order

    def _straight(
        self, shard: str, state: ShardState, order: Sequence[At]
    ) -> tuple[dict[Place, tuple[int, dict[str, float]]], ShardState]:
        """Learn this order in one piece; return what was said of each event, and the state in the end."""
        config = self._config
        rows = []
        clocks = dict.fromkeys(state.next_offsets, BEFORE_ALL_TIME_US)
        for partition, offset in order:
            message = self._broker.logs[partition].messages[offset]
            assert message is not None
            topic = config.topics.index(partition.topic)
            rows.append((topic, partition.partition, offset, message.time_ms, b"k", message.value))
            if message.accepted:
                clocks[partition] = max(clocks[partition], message.time_ms * 1000)
        columns: Sequence[Sequence[object]] = list(zip(*rows, strict=True)) or [()] * len(RAW_SCHEMA)
        raw = pa.RecordBatch.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, RAW_SCHEMA, strict=True)], schema=RAW_SCHEMA
        )
        whole = small_segments(config)(shard, dict.fromkeys(state.next_offsets, 0))
        said: dict[Place, tuple[int, dict[str, float]]] = {}
        if rows:
            decoded = make_decoder(config).decode(raw)
            # What comes out is the events and then the labels; between them the order is ours to give.
            came = np.argsort(np.argsort(raw.column("topic").to_numpy(), kind="stable"), kind="stable")
            for outcome in whole.advance(decoded.take(pa.array(came))):
                answers = outcome.predictions["chain"]
                accepted = zip(
                    outcome.accepted.column("partition").to_pylist(),
                    outcome.accepted.column("offset").to_pylist(),
                    strict=True,
                )
                for row, place in enumerate(accepted):
                    shares = dict(
                        zip(outcome.class_tokens, answers.probability_BC[row].tolist(), strict=True)
                    )
                    said[place] = (int(answers.version_B[row]), {k: v for k, v in shares.items() if v == v})
        # Control records have no row: an end behind one is no difference in what was learned.
        for partition, next_offset in state.next_offsets.items():
            assert whole.next_offsets[partition] <= next_offset
        whole.next_offsets = dict(state.next_offsets)
        clock_rows = [[*partition, clocks[partition]] for partition in state.next_offsets]
        return said, whole.snapshot({"merge": Snapshot(data={"clocks_us": clock_rows})})

    # -------------------------------------------------------------------------------------- the logs

    def partitions_of(self, shard: str) -> list[TopicPartition]:
        if self._config.stream.scope == "stream":
            return sorted(self._broker.logs)
        (events,) = (partition for partition in self._broker.logs if str(partition) == shard)
        return [partition for partition in self._broker.logs if partition.partition == events.partition]

    def _messages(self, partition: TopicPartition, below: int) -> list[tuple[int, Message]]:
        messages = self._broker.logs[partition].messages[:below]
        return [(offset, each) for offset, each in enumerate(messages) if each is not None]

    def _labelled(self, partition: TopicPartition, below: int) -> list[int]:
        return [offset for offset, each in self._messages(partition, below) if each.labelled]


def _without_inputs(state: ShardState) -> ShardState:
    return replace(state, parts={name: part for name, part in state.parts.items() if name != INPUTS})
