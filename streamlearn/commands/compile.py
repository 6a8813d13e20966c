"""``streamlearn compile``: all kernels to the disk, so that no daemon's start waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from streamlearn.assemble import make_decoder, shard_factory
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.daemon import Daemon
from streamlearn.native import kernels_folder
from streamlearn.telemetry import Telemetry
from streamlearn.warming import warm_up

# Kernels are compiled for types, and these are all: what a config names changes no type.
_CONFIG = """
[stream]
name = "compile"
task = "{task}"
{source}
[event]
format = "{format}"
label = "label"
time = "time"
id = "id"
numeric = ["number"]
categorical = ["word"]
[predictions]
topic = "predictions"
delivery = "at_least_once"
"""
_MODEL = """
[[models]]
name = "model{number}"
learner = "river"
engine = "compiled"
pipeline = [{pipeline}]
"""
_WORDS = '{ use = "compose.Select", keys = ["word"] }, "preprocessing.OneHotEncoder"'
_NUMBERS = '{ use = "compose.Select", keys = ["number"] }, "preprocessing.StandardScaler"'
_PIPELINES = {
    "binary": (
        f'{_NUMBERS}, "linear_model.LogisticRegression"',
        f'{_WORDS}, "linear_model.LogisticRegression"',
        f'{_NUMBERS}, "linear_model.PAClassifier"',
    ),
    "multiclass": (
        f'{_NUMBERS}, "linear_model.SoftmaxRegression"',
        f'{_NUMBERS}, "naive_bayes.GaussianNB"',
    ),
    "regression": (
        f'{_NUMBERS}, "linear_model.LinearRegression"',
        f'{_NUMBERS}, "linear_model.PARegressor"',
    ),
}

_NETWORK = """
[[models]]
name = "network{number}"
learner = "torch"
hidden = [256, 256]
batch_events = 64
device = "cpu"
missing_indicator = {indicator}
"""
_NETWORKS = _NETWORK.format(number=0, indicator="false") + _NETWORK.format(number=1, indicator="true")
_FILES = """
[source.files]
paths = ["nothing.jsonl"]
"""
_ARROW = """
[source.kafka]
bootstrap_servers = "127.0.0.1:1"
topics = ["events"]
group_id = "compile"
"""

# What no shard by itself calls is compiled by streams that run: two files each, long enough that windows of drift end.
_STREAM = """
[stream]
name = "compile"
task = "{task}"
[source.files]
topic = "events"
paths = ["{folder}/events-*.jsonl"]
[event]
{label}
time = "time"
time_format = "epoch_seconds"
id = "id"
numeric = ["number"]
categorical = ["word"]
[evaluate]
slices = ["word"]
[drift]
window_events = 500
every_events = 1
[checkpoint]
path = "{folder}/checkpoints"
[dead_letters]
path = "{folder}/dead-letters.jsonl"
[http]
port = 0
"""
_LABELS = """
[labels]
paths = ["{folder}/labels-*.jsonl"]
id = "id"
label = "label"
time = "time"
time_format = "epoch_seconds"
wait = "4000s"
"""
_EVENTS = 6000  # a second each
_LABEL_DELAY = 2000  # so long that events that wait are sealed in a segment, and read back


def compile_kernels() -> dict[str, Any]:
    """Compile what is not on the disk yet. Returns ``{"folder", "kernels", "seconds"}``."""
    began = time.monotonic()
    for task, pipelines in _PIPELINES.items():
        models = [_MODEL.format(number=n, pipeline=each) for n, each in enumerate(pipelines)]
        for form, source in (("json", _FILES), ("arrow", _ARROW)):
            contract = _CONFIG.format(task=task, format=form, source=source)
            _warm(parse(contract + "".join(models), [], {}))
        _run_stream(task, models[0] + _NETWORKS, delayed=False)
        _run_stream(task, models[0], delayed=True)
    _open_c_doors()
    folder = kernels_folder()
    return {
        "folder": str(folder),
        "kernels": len(list(Path(folder).rglob("*.nbc"))),
        "seconds": round(time.monotonic() - began, 1),
    }


def _warm(config: Config) -> None:
    decoder = make_decoder(config)
    warm_up(config, decoder, shard_factory(config)("compile", {}), Telemetry())


def _run_stream(task: str, models: str, *, delayed: bool) -> None:
    with TemporaryDirectory(prefix="streamlearn-compile-") as name:
        folder = Path(name)
        _write_events(folder, task, delayed=delayed)
        label = "" if delayed else 'label = "label"'
        text = _STREAM.format(task=task, label=label, folder=folder.as_posix())
        labels = _LABELS.format(folder=folder.as_posix()) if delayed else ""
        Daemon(parse(text + labels + models, [], {}), Telemetry(), until_end=True).run()


def _write_events(folder: Path, task: str, *, delayed: bool) -> None:
    """Write events of two partitions in turns, and beside them their labels: some come late, some are never told."""
    for partition in (0, 1):
        events: list[dict[str, Any]] = []
        labels: list[dict[str, Any]] = []
        for number in range(partition, _EVENTS, 2):
            event = {"id": number, "time": number, "number": number % 7, "word": "ab"[number % 2]}
            label = {"binary": number % 3 == 0, "multiclass": "abc"[number % 3]}.get(task, number % 5 / 2)
            late = _LABEL_DELAY if number % 10 else 2 * _LABEL_DELAY
            if number % 11:
                labels.append({"id": number, "time": number + late, "label": label})
            events.append(event if delayed else {**event, "label": label})
        labels.sort(key=itemgetter("time"))
        _write_lines(folder / f"events-{partition}.jsonl", events)
        _write_lines(folder / f"labels-{partition}.jsonl", labels)


def _write_lines(path: Path, documents: Iterable[Mapping[str, Any]]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(document) + b"\n" for document in documents))


def _open_c_doors() -> None:
    """Compile what reads and writes librdkafka's messages, by a reader and a producer that have nobody to ask."""
    from streamlearn.config import KafkaSource
    from streamlearn.connectors.kafka_producers import open_producer
    from streamlearn.connectors.kafka_reader import KafkaReader
    from streamlearn.connectors.kafka_settings import producer_settings

    reader = KafkaReader(KafkaSource(bootstrap_servers="127.0.0.1:1", topics=("t",), group_id="g"))
    reader.poll(1, 0.0)
    reader.close()
    open_producer(producer_settings("127.0.0.1:1", {}), lambda _error, _record: None)
