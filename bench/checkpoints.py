"""What checkpoints of a large state cost: how long the belt stands for one, and what they take of the throughput.

    python -m bench.checkpoints [--quick]

A network of 8.5 million parameters, with Adam's two moments 100 MB of state, learns from a local file; one daemon
writes a checkpoint every two seconds, many times as often as by default, another one none but the first and the last. The pauses are
those that the daemon logs (``--verbose``), of all its turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench import daemons, workload
from bench.harness import (
    RECORD_KEYS,
    Contender,
    Record,
    Target,
    compare,
    measure_alone,
    take_turns,
)
from streamlearn.config.outputs import Checkpoint

FEATURES = 20
HIDDEN = (2_900, 2_900)  # 8.5 million parameters, of four bytes, three times
EVERY_SECONDS = 2.0
NEVER_SECONDS = 86_400.0
SECONDS_MAX = 600.0
PAUSE_MILLISECONDS_MAX = 20.0
COST_PERCENT_MAX = 2.0
DEFAULT_SECONDS = Checkpoint.model_fields["every_seconds"].default

WITH, WITHOUT, PAUSE = "checkpoints_every_2_s", "checkpoints_none", "checkpoint_pause_p99"
COST = "checkpoint_cost_default"

CONFIG = """\
[stream]
name = "bench"
task = "binary"

[source.files]
topic = "events"
paths = ["{events}"]

[event]
label = "label"
numeric = [{names}]

[[models]]
name = "network"
learner = "torch"
hidden = [{hidden}]
device = "cpu"

[dead_letters]
path = "{folder}/dead-letters.jsonl"

[checkpoint]
path = "{folder}/checkpoints"
every_seconds = {every_seconds}
keep = 2

[http]
port = 0
"""

Say = Callable[[str], None]


def measure(*, quick: bool, say: Say) -> list[Record]:
    """Measure events/s with checkpoints and without, and the pauses in ms, and return benchmark records."""
    events, rounds = (20_000, 1) if quick else (60_000, 3)
    pauses: list[float] = []
    sizes: list[int] = []
    with TemporaryDirectory(prefix="bench-checkpoints-") as name:
        lines = Path(name) / "events.jsonl"
        workload.write_events(lines, events, workload.Shape(FEATURES))

        def turn(figure: str, every_seconds: float) -> Mapping[str, float]:
            with TemporaryDirectory(dir=name) as folder:
                rate, told = _run(Path(folder), lines, events, every_seconds)
            if figure == WITH:
                pauses.extend(1000 * each["pause_seconds"] for each in told)
                sizes.extend(each["size_bytes"] for each in told)
            return {figure: rate}

        contenders = [
            Contender((WITH,), lambda: turn(WITH, EVERY_SECONDS)),
            Contender((WITHOUT,), lambda: turn(WITHOUT, NEVER_SECONDS)),
        ]
        series = take_turns(contenders, rounds, lambda name, figures: say(f"  {name}: {dict(figures)}"))
    beside = compare(series, WITH, WITHOUT, "events/s")
    records = [beside] if beside["ratio"] is None else [beside, _cost_record(beside)]
    return records if not pauses else [*records, _pause_record(pauses, max(sizes))]


def _run(
    folder: Path, lines: Path, events: int, every_seconds: float
) -> tuple[float, list[Mapping[str, float]]]:
    """Run a daemon to the end; return its events/s, and what it logged of each checkpoint of a learned state."""
    config, log = folder / "stream.toml", folder / "daemon.log"
    config.write_text(
        CONFIG.format(
            events=lines.as_posix(),
            names=", ".join(f'"{each}"' for each in workload.feature_names(FEATURES)),
            hidden=", ".join(map(str, HIDDEN)),
            folder=folder.as_posix(),
            every_seconds=every_seconds,
        ),
        encoding="utf-8",
    )
    summary = daemons.run_config(config, events, "--verbose", log=log, seconds_max=SECONDS_MAX)
    published = [each for each in daemons.logged(log) if each["event"] == "checkpoint_published"]
    # The first is of a shard that is new, the last of its end.
    return events / summary["steady_seconds"], published[1:-1]


def _cost_record(beside: Record) -> Record:
    """Return the record of what checkpoints take of the throughput where they are written as often as by default.

    Measured at ``EVERY_SECONDS``, where it stands out of the noise, and reckoned for the default.

    >>> record = _cost_record({"ratio": 0.9, "ratio_range": [0.85, 0.95], "repeats": 3})
    >>> record["value"], record["range"], record["met"]
    (0.67, [0.33, 1.0], True)
    """
    share = 100 * EVERY_SECONDS / DEFAULT_SECONDS
    value = round((1 - beside["ratio"]) * share, 2)
    low, high = beside["ratio_range"]
    bounds = round((1 - high) * share, 2), round((1 - low) * share, 2)
    return _value_record(COST, value, "%", WITHOUT, bounds, beside["repeats"], COST_PERCENT_MAX)


def _pause_record(pauses: list[float], size_bytes: int) -> Record:
    """Return the record of pauses in ms.

    >>> record = _pause_record([10.0] * 99 + [19.0], 100_000_000)
    >>> record["value"], record["met"], record["repeats"]
    (10.1, True, 100)
    """
    value = round(float(np.percentile(pauses, 99)), 1)
    bounds = round(min(pauses), 1), round(max(pauses), 1)
    record = _value_record(PAUSE, value, "ms", WITH, bounds, len(pauses), PAUSE_MILLISECONDS_MAX)
    return {**record, "state_bytes": size_bytes}


def _value_record(
    name: str,
    value: float,
    unit: str,
    baseline: str,
    bounds: tuple[float, float],
    repeats: int,
    at_most: float,
) -> Record:
    target = Target("value", at_most=at_most)
    return {
        **dict.fromkeys(RECORD_KEYS),
        "name": name,
        "unit": unit,
        "value": value,
        "baseline": baseline,
        "range": list(bounds),
        "repeats": repeats,
        "target": str(target),
        "met": target.is_met_by(value=value, ratio=0.0),
    }


def main() -> None:
    """Print the records as JSON; what is measured meanwhile goes to stderr."""
    measure_alone("bench.checkpoints", __doc__, measure)


if __name__ == "__main__":
    main()
