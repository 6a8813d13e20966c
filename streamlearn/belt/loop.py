"""The belt: one step moves one micro-batch of every shard that this worker holds.

    poll -> decode -> merge -> features -> predict -> evaluate -> detect drift -> learn -> emit -> checkpoint

Reading and decoding run ahead on a thread of their own (intake.py), checkpoints are written on another
(checkpointing.py); everything that changes a shard happens here, on the thread that calls ``step``.

Upholds, with shard.py, `learned_once`: what was read and not learned when a shard is let go is forgotten,
and read again from the checkpoint by whoever takes it up.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from streamlearn.belt.accounting import Accounts, Totals
from streamlearn.belt.holdings import Holdings
from streamlearn.belt.lane import Lane
from streamlearn.belt.parts import Offsets, Parts
from streamlearn.belt.reading import Reading
from streamlearn.belt.sending import emission_of, whole_emission
from streamlearn.belt.shard import Outcome
from streamlearn.belt.upkeep import Upkeep
from streamlearn.config import Config
from streamlearn.contracts import Membership
from streamlearn.errors import Fenced, OffsetGap, StreamlearnError

STEP_SECONDS = 0.2  # micro-batches are sized to take about this long, so that stopping stays quick
FIRST_EVENTS = 512  # of the first micro-batch, before it is known how long an event takes


class Belt:
    """The loop and its policy. ``step`` until ``is_done`` or until told to stop, then ``close``."""

    def __init__(self, config: Config, parts: Parts, *, until_end: bool) -> None:
        self._stream = config.stream
        self._merges = config.merges
        self._parts = parts
        self._until_end = until_end
        self._rows_max = config.micro_batch_rows
        self._rows_fit = min(FIRST_EVENTS, self._rows_max)
        self.lanes: dict[str, Lane] = {}
        self.reading = Reading(parts, self.lanes, config.source.chosen.buffer_bytes_max, config.label_topic)
        self.upkeep = Upkeep(config.checkpoint, parts)
        self.holdings = Holdings(config, parts, self.lanes, self.reading, self.upkeep, until_end=until_end)
        self._accounts = Accounts(
            parts.topics, parts.telemetry, parts.clock, config.http.rejected_sample_bytes
        )

    def step(self, now: float) -> bool:
        """Move one micro-batch of every shard; return whether anything moved.

        Waits a moment when there is nothing to do. ``now``: seconds on a clock that never goes back.
        Raises StreamlearnError when the belt cannot go on; then ``abandon`` it.
        """
        self.holdings.follow_group()
        self.holdings.take_up(now)
        try:
            self.reading.take_in(now)
        except OffsetGap:
            self.holdings.find_way_on()
        moved = False
        for lane in list(self.lanes.values()) if self._may_move() else ():
            events = lane.next(now, self._rows_fit)
            if events is not None:
                self._move(lane, events, now)
                moved = True
        self.upkeep.keep(now)
        self.holdings.forget_fenced(now)
        self.reading.watch_lag(now)
        self._parts.telemetry.step_finished()
        return moved

    def _may_move(self) -> bool:
        """Whether the shards may go on. While no checkpoint can be written they stand, and resume by themselves."""
        if self.upkeep.failing is None:
            self._parts.telemetry.belt_resumed()
            return True
        self._parts.telemetry.belt_paused("checkpoints_failing")
        return False

    def _move(self, lane: Lane, events: pa.RecordBatch, now: float) -> None:
        began = time.perf_counter()
        telemetry = self._parts.telemetry
        # As it is before: what ends the replay is still part of it.
        covered = lane.covered if lane.is_replaying else {}
        for outcome in lane.shard.advance(events):
            if not outcome.events.num_rows:
                continue
            emits_at = time.perf_counter()
            try:
                self._emit(lane, outcome, covered)
            except Fenced:
                self.holdings.fenced(lane, now)
                return
            except StreamlearnError:
                if not self._parts.give_up():
                    raise
                # Told to end while a sink waited for the broker. What was not sent out may not be covered
                # by a checkpoint: the shard is forgotten, and goes on from the one before.
                self.holdings.forget(lane)
                return
            self._accounts.note(lane.shard.name, outcome)
            for stage, seconds in outcome.stage_seconds.items():
                telemetry.stage_seconds(stage, seconds)
            telemetry.stage_seconds("emit", time.perf_counter() - emits_at)
        self.upkeep.moved(lane.shard.name, events.num_rows)
        # A batch of whole messages may have had no room for the next one and yet be smaller, or larger, than what fits.
        is_full = events.num_rows >= self._rows_fit or lane.has_ready
        self._fit_batch(events.num_rows, time.perf_counter() - began, is_full=is_full)

    def _emit(self, lane: Lane, outcome: Outcome, covered: Offsets) -> None:
        parts = self._parts
        next_offsets = dict(outcome.next_offsets)
        emission = emission_of(
            outcome,
            self._stream.name,
            parts.topics,
            predicts=parts.predicts,
            next_offsets=next_offsets,
            cuts=[next_offsets] if self._merges else [],
            covered=covered,
        )
        if emission is None:
            return
        emission, lane.held = whole_emission(lane.held, emission, outcome)
        if emission is None:
            return
        lane.outbox.send(emission)
        parts.telemetry.dead_letters_written(len(emission.letters))
        for records in emission.predictions:
            parts.telemetry.predictions_sent(records.model, records.events)

    def _fit_batch(self, events: int, seconds: float, *, is_full: bool) -> None:
        """Size the next micro-batch by what this one took. Changes no result (`replay_equals_run`)."""
        if is_full or seconds > STEP_SECONDS:
            fitting = int(events * STEP_SECONDS / max(seconds, 1e-6))
            self._rows_fit = max(1, min(self._rows_max, fitting, self._rows_fit * 2))

    @property
    def is_done(self) -> bool:
        """Whether a bounded read is at its end."""
        return self._until_end and self.holdings.is_done

    @property
    def is_connected(self) -> bool:
        """Whether the group's broker answers."""
        return self._parts.membership.connected()

    @property
    def membership(self) -> Membership:
        """This worker's place in the group."""
        return self._parts.membership

    @property
    def totals(self) -> Totals:
        """What this run has done so far."""
        self._accounts.totals.checkpoints_written = self.upkeep.written
        return self._accounts.totals

    def checkpoint_all(self, seconds: float) -> bool:
        """Publish what every shard has learned; False where the time did not do for all."""
        deadline = time.monotonic() + seconds
        published = [self.upkeep.publish_now(name, deadline) for name in self.lanes]
        return all(published)

    def abandon(self) -> None:
        """Leave the group and close everything, at once rather than in turn; writes nothing.

        While the broker is away each of them waits a few seconds for it, and stopping has but ten.
        """
        parts = self._parts
        closing = [parts.writer.close, parts.membership.close, parts.intake.close, *parts.close_outlets]
        closing += [lane.outbox.close for lane in self.lanes.values()]
        with ThreadPoolExecutor(len(closing), thread_name_prefix="closing") as pool:
            for closed in [pool.submit(close) for close in closing]:
                closed.result()
