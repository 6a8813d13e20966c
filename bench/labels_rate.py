"""The daemon with labels that come a minute after their events, beside the same daemon with the labels in the events.

    python -m bench.labels_rate [--quick]

Local files: what both are slowed down by is then the belt. Rates are of what comes after the start. The events are
those of the other benchmarks, with an id and a time each; the labels lie in a file of their own, or in the events.
Each event is learned once in both, so the accuracies are of the same labels, learned by a model that is a minute
behind in one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench import daemons, workload
from bench.harness import Contender, Record, Target, compare, measure_alone, take_turns

FEATURES = 20
EVERY_MS = 10
DELAY_MS = 60_000  # 6,000 events wait at any time
TARGETS = {"compiled": 0.6, "river": 0.8}

CONFIG = """\
[stream]
name = "bench"
task = "binary"

[source.files]
topic = "events"
paths = ["{events}"]

[event]
id = "id"
time = "t"
time_format = "epoch_milliseconds"
numeric = [{names}]
{label}
[[models]]
name = "logistic"
learner = "river"
engine = "{engine}"
pipeline = ["preprocessing.StandardScaler", "linear_model.LogisticRegression"]

[dead_letters]
path = "{folder}/dead-letters.jsonl"

[checkpoint]
path = "{folder}/checkpoints"

[http]
port = 0
"""
IN_THE_EVENT = 'label = "label"\n'
DELAYED = """
[labels]
paths = ["{labels}"]
id = "id"
label = "label"
time = "t"
time_format = "epoch_milliseconds"
wait = "1h"
"""


def measure(*, quick: bool, say: Callable[[str], None]) -> list[Record]:
    """Measure rates, events of the delayed ones a second, and return benchmark records."""
    counts, rounds = (
        ({"river": 30_000, "compiled": 200_000}, 2)
        if quick
        else ({"river": 150_000, "compiled": 1_000_000}, 3)
    )
    with TemporaryDirectory(prefix="bench-labels-") as name:
        folder = Path(name)
        contenders = []
        for engine, count in counts.items():
            files = _write(folder, count)
            contenders += [
                _contender(engine, count, files, is_delayed=is_delayed) for is_delayed in (True, False)
            ]
        series = take_turns(contenders, rounds, lambda name, figures: say(_told(name, figures)))
    return [
        compare(
            series, _name(engine, is_delayed=True), _name(engine, is_delayed=False), "events/s",
            Target("ratio", at_least=at_least),
        )
        for engine, at_least in TARGETS.items()
    ]  # fmt: skip


def _name(engine: str, *, is_delayed: bool) -> str:
    return f"labels_{'delayed' if is_delayed else 'in_the_event'}_{engine}"


def _write(folder: Path, count: int) -> dict[bool, tuple[Path, Path]]:
    """Write so many events without their labels, and with them; return by that the events, and the labels."""
    plain, whole = folder / f"plain-{count}.jsonl", folder / f"whole-{count}.jsonl"
    bare, labels = folder / f"bare-{count}.jsonl", folder / f"labels-{count}.jsonl"
    workload.write_events(plain, count, workload.Shape(FEATURES))
    encode = msgspec.json.Encoder().encode
    with plain.open("rb") as lines, whole.open("wb") as with_label, bare.open("wb") as without, labels.open("wb") as told:  # fmt: skip
        for number, line in enumerate(lines):
            event = {"id": number, "t": workload.BEGIN_MS + number * EVERY_MS, **msgspec.json.decode(line)}
            with_label.write(encode(event) + b"\n")
            label = {"id": number, "t": event["t"] + DELAY_MS, "label": event.pop(workload.LABEL)}
            without.write(encode(event) + b"\n")
            told.write(encode(label) + b"\n")
    plain.unlink()
    return {False: (whole, labels), True: (bare, labels)}


def _contender(
    engine: str, count: int, files: Mapping[bool, tuple[Path, Path]], *, is_delayed: bool
) -> Contender:
    name = _name(engine, is_delayed=is_delayed)
    events, labels = files[is_delayed]

    def take_turn() -> Mapping[str, float]:
        with TemporaryDirectory(prefix="bench-daemon-", dir=events.parent) as folder:
            config = Path(folder) / "stream.toml"
            config.write_text(
                CONFIG.format(
                    events=events.as_posix(),
                    names=", ".join(f'"{each}"' for each in workload.feature_names(FEATURES)),
                    label=DELAYED.format(labels=labels.as_posix()) if is_delayed else IN_THE_EVENT,
                    engine=engine,
                    folder=folder,
                ),
                encoding="utf-8",
            )
            summary = daemons.run_config(config, count)
        return {name: count / summary["steady_seconds"]}

    return Contender((name,), take_turn)


def _told(name: str, figures: Mapping[str, float]) -> str:
    return f"  {name}: {figures[name]:,.0f} events/s" if figures else f"  {name}: FAILED"


def main() -> None:
    """Print the records as JSON; what is measured meanwhile goes to stderr."""
    measure_alone("bench.labels_rate", __doc__, measure)


if __name__ == "__main__":
    main()
