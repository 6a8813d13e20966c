"""Who is measured side by side, on which events, and what has to be reached: data, and no code that runs anything.

A **feed** is a topic full of events of one shape. A **case** is the daemon with one config on one feed. The rivals
(``rivals.py``, ``quix_app.py``, ``vw_file.py``) read the main feed, or the short one where they are slow: rates are
compared, not equal counts. Beside each case stands a raw ``consume()`` of its own feed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.daemons import Stream
from bench.harness import Target
from bench.pipelines import LOGISTIC, SCALER, encoded
from bench.workload import PARTITIONS, Shape

RAW, C_BATCHES, VW = "raw_consume", "raw_c_batches", "vw_file"
BARE, PLAIN, QUIX = "river_loop_in_memory", "plain_consumer_river", "quix_streams_river"
GENERIC, COMPILED, SHORT = "ours_generic", "ours_compiled", "ours_compiled_short"
ONCE, ARROW_IN = "ours_exactly_once", "ours_arrow_in"
ACCURACY, STARTUP = "_accuracy", "_startup"

PREDICTIONS_TOPIC = "bench-predictions"

Group = Literal["side_by_side", "features", "partitions", "models", "bytes", "types"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. ``times``: the main feed holds its distinct events so often."""

    distinct: int
    times: int
    rounds: int


FULL, QUICK = Sizes(200_000, 20, 5), Sizes(20_000, 20, 1)


FLOATS = Shape()


@dataclass(frozen=True, slots=True)
class Feed:
    """Events, and the topic that holds them. ``share``: of the main feed's events; None: each distinct one once."""

    name: str
    shape: Shape = FLOATS
    partitions: int = PARTITIONS
    form: Literal["json", "arrow"] = "json"
    share: float | None = 1.0

    @property
    def topic(self) -> str:
        return f"bench-{self.name}"

    def times(self, sizes: Sizes) -> int:
        """Return how often the distinct events are in the topic."""
        return 1 if self.share is None else max(1, round(sizes.times * self.share))

    def events(self, sizes: Sizes) -> int:
        """Return how many events the topic holds.

        >>> Feed("wide", share=0.25).events(Sizes(1000, 20, 1))
        5000
        """
        return sizes.distinct * self.times(sizes)


MAIN, BRIEF = Feed("main"), Feed("short", share=None)
# Arrow is so fast that as many events would be over before the clock says much.
ARROW = Feed("arrow", form="arrow", share=3.0)
ONE, SIXTEEN = Feed("partitions_1", partitions=1), Feed("partitions_16", partitions=16)
FIVE, HUNDRED = Feed("features_5", Shape(5), share=2.0), Feed("features_100", Shape(100), share=0.3)
TWO_KB, EIGHT_KB = (
    Feed("bytes_2000", Shape(text_bytes=1450), share=0.5),
    Feed("bytes_8000", Shape(text_bytes=7450), share=0.2),
)
TYPES = {
    "integers": Feed("integers", Shape(0, integers=20), share=0.5),
    "booleans": Feed("booleans", Shape(10, booleans=10), share=0.5),
    "nulls": Feed("nulls", Shape(null_share=0.1), share=0.5),
    "categoricals": Feed("categoricals", Shape(15, categorical=5), share=0.5),
    "mixed": Feed("mixed", Shape(6, integers=5, booleans=4, categorical=5, null_share=0.05), share=0.5),
}


def model(shape: Shape, engine: str = "compiled") -> Mapping[str, Any]:
    """Return a scaler and a logistic regression; categoricals are one-hot encoded."""
    pipeline = [SCALER, LOGISTIC]
    if shape.categorical:
        pipeline = [encoded(shape.numeric_names, shape.categorical_names), LOGISTIC]
    return {"learner": "river", "engine": engine, "pipeline": pipeline}


@dataclass(frozen=True, slots=True)
class Case:
    """The daemon with a config on a feed; what the config does not say is at its default.

    Parameters
    ----------
    group, at
        In which plot it stands, and where on the axis of what grows there.
    quick
        Whether it is in the quick run, too.
    """

    name: str
    feed: Feed
    group: Group = "side_by_side"
    at: float | str | None = None
    models: int = 1
    engine: str = "compiled"
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quick: bool = False

    def stream(self) -> Stream:
        """Return the stream that the daemon is configured for."""
        shape = self.feed.shape
        models = [model(shape, self.engine)] * self.models
        tables = {"event": {"format": self.feed.form}, **self.tables}
        return Stream(self.feed.topic, shape.numeric_names, shape.categorical_names, models, tables)


def _out(form: str, delivery: str) -> Mapping[str, Mapping[str, Any]]:
    return {"predictions": {"topic": PREDICTIONS_TOPIC, "format": form, "delivery": delivery}}


def _partitions(feed: Feed, scope: str) -> Case:
    name = f"ours_{feed.partitions}_partition{'s' * (feed.partitions > 1)}_{scope}_scope"
    return Case(
        name, feed, "partitions", feed.partitions, tables={"stream": {"scope": scope}}, quick=feed != ONE
    )


def _models(number: int, *, quick: bool) -> Case:
    return Case(f"ours_{number}_models", MAIN, "models", number, models=number, quick=quick)


CASES: Sequence[Case] = (
    Case(GENERIC, BRIEF, engine="river", quick=True),
    Case(SHORT, BRIEF),
    Case(COMPILED, MAIN, quick=True),
    Case(ONCE, MAIN, tables=_out("json", "exactly_once"), quick=True),
    Case("ours_at_least_once", MAIN, tables=_out("json", "at_least_once")),
    Case("ours_arrow_out_exactly_once", MAIN, tables=_out("arrow", "exactly_once")),
    Case(ARROW_IN, ARROW, quick=True),
    Case("ours_arrow_in_and_out_exactly_once", ARROW, tables=_out("arrow", "exactly_once")),
    *(_partitions(feed, scope) for feed in (ONE, SIXTEEN) for scope in ("stream", "partition")),
    _partitions(MAIN, "partition"),
    _models(2, quick=False),
    _models(4, quick=True),
    _models(8, quick=False),
    Case("ours_5_features", FIVE, "features", 5),
    Case("ours_100_features", HUNDRED, "features", 100, quick=True),
    Case("ours_2000_bytes", TWO_KB, "bytes"),
    Case("ours_8000_bytes", EIGHT_KB, "bytes"),
    *(Case(f"ours_{name}", feed, "types", name, quick=name == "mixed") for name, feed in TYPES.items()),
)

# The base of each plot's axis: the case on the main feed stands there, too.
BASE: Mapping[Group, float | str] = {"features": 20, "partitions": 4, "models": 1, "types": "floats"}


def raw_name(feed: Feed) -> str:
    """Return the name of the raw ``consume()`` of a feed: feeds of the main feed's events share one.

    >>> raw_name(MAIN), raw_name(ARROW), raw_name(HUNDRED)
    ('raw_consume', 'raw_consume', 'raw_consume_features_100')
    """
    return RAW if feed.shape == MAIN.shape else f"{RAW}_{feed.name}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two of the contenders, and what has to be reached."""

    name: str
    baseline: str
    target: Target | None = None
    unit: str = "events/s"


def _at_least(ratio: float) -> Target:
    return Target("ratio", at_least=ratio)


SAME = Target("ratio", at_least=1.0, at_most=1.0)
PARTITION_SCOPE = _partitions(MAIN, "partition").name
COMPARISONS = (
    Comparison(COMPILED, RAW, _at_least(1.0)),
    Comparison(COMPILED, C_BATCHES, _at_least(0.6)),
    Comparison(COMPILED, PLAIN, _at_least(30.0)),
    Comparison(COMPILED, QUIX),
    Comparison(COMPILED, VW, _at_least(1.5)),
    Comparison(ONCE, RAW, _at_least(0.5)),
    Comparison(COMPILED, PARTITION_SCOPE, _at_least(0.9)),
    Comparison(ARROW_IN, COMPILED, _at_least(3.0)),
    Comparison(GENERIC, PLAIN, _at_least(1.0)),
    Comparison(GENERIC, BARE, _at_least(0.85)),
    Comparison(GENERIC + ACCURACY, BARE + ACCURACY, SAME, "share"),
    Comparison(SHORT + ACCURACY, BARE + ACCURACY, SAME, "share"),
)
