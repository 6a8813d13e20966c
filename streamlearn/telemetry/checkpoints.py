"""Shards and their checkpoints: what this worker holds, and since when a crash would not lose it."""

from __future__ import annotations

from streamlearn.config import Config
from streamlearn.events import TopicPartition
from streamlearn.telemetry.core import Happenings, Means

CHECKPOINT_OUTCOMES = ("published", "failed", "corrupt")


class CheckpointHappenings(Happenings):
    """What becomes of shards."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        make = means.make
        self._checkpoint_seconds: dict[str, float] = {}  # shard -> when its last one became durable; 0: never
        self._owned_shards = make.gauge("streamlearn_owned_shards")
        checkpoints = make.counter("streamlearn_checkpoints_total")
        self._checkpoints = {outcome: checkpoints.labels(outcome) for outcome in CHECKPOINT_OUTCOMES}
        self._checkpoint_duration = make.gauge("streamlearn_checkpoint_seconds")
        self._checkpoint_interval = make.gauge("streamlearn_checkpoint_interval_seconds")
        self._checkpoint_pause = make.histogram("streamlearn_checkpoint_pause_seconds").labels()
        self._checkpoint_bytes = make.gauge("streamlearn_checkpoint_bytes")
        self._last_checkpoint = make.gauge("streamlearn_last_checkpoint_timestamp_seconds")
        self._fenced_shards = make.counter("streamlearn_fenced_shards_total")

    def _when_started(self, config: Config) -> None:
        super()._when_started(config)
        self._checkpoint_interval.set(config.checkpoint.every_seconds)

    def shard_opened(
        self, shard: str, *, events_learned: int, path: str | None, checkpoint_timestamp_seconds: float = 0.0
    ) -> None:
        """This worker holds the shard's state: restored from ``path``, or new (None)."""
        with self._lock:
            self._checkpoint_seconds[shard] = checkpoint_timestamp_seconds
            self._shards_changed()
        self._log.info("shard_opened", shard=shard, events_learned=events_learned, path=path)

    def sending_behind(self, partition: TopicPartition, sent_up_to: int, next_offset: int) -> None:
        """The group's offset is behind the checkpoint's; events between the two are not sent again (`learned_once`)."""
        self._log.warning(
            "sending_behind",
            topic=partition.topic,
            partition=partition.partition,
            sent_up_to=sent_up_to,
            next_offset=next_offset,
            detail="what lies between was skipped, or the cluster has lost transactions that it had committed",
        )

    def shard_closed(self, shard: str) -> None:
        """This worker has let the shard go. With the last one, models have no score here any more."""
        with self._lock:
            self._checkpoint_seconds.pop(shard, None)
            self._shards_changed()
            if not self._checkpoint_seconds:
                self._when_no_shard_is_left()
        self._log.info("shard_closed", shard=shard)

    def _shards_changed(self) -> None:
        self._owned_shards.set(len(self._checkpoint_seconds))
        self._last_checkpoint.set(min(self._checkpoint_seconds.values(), default=0.0))

    def fenced(self, shard: str) -> None:
        """Another worker has taken the shard over, and this one lets it go: nothing of it counts any more."""
        self._fenced_shards.inc()
        self._log.warning("fenced", shard=shard)

    def checkpoint_published(
        self, shard: str, *, seconds: float, pause_seconds: float, size_bytes: int, path: str
    ) -> None:
        """A checkpoint is durable: ``seconds`` after its snapshot, for which the belt stood ``pause_seconds``."""
        self._checkpoints["published"].inc()
        self._checkpoint_duration.set(seconds)
        self._checkpoint_pause.observe(pause_seconds)
        self._checkpoint_bytes.set(size_bytes)
        with self._lock:
            # A shard that was let go meanwhile must not come back by its last write.
            if shard in self._checkpoint_seconds:
                self._checkpoint_seconds[shard] = self._clock()
                self._shards_changed()
        self._log.debug(
            "checkpoint_published",
            shard=shard,
            seconds=round(seconds, 6),
            pause_seconds=round(pause_seconds, 6),
            size_bytes=size_bytes,
            path=path,
        )

    def checkpoint_failed(self, shard: str, error: Exception) -> None:
        """A checkpoint could not be written; the one before stands, and the next is tried (`old_or_new`)."""
        self._checkpoints["failed"].inc()
        self._log.error("checkpoint_failed", shard=shard, error=type(error).__name__, detail=str(error))

    def checkpoint_corrupt(self, path: str, detail: str) -> None:
        """A file does not verify: it is set aside, and an older one is tried (`old_or_new`)."""
        self._checkpoints["corrupt"].inc()
        self._log.error("checkpoint_corrupt", path=path, detail=detail)
