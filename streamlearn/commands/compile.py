"""``streamlearn compile``: all kernels to the disk, so that no daemon's start waits for them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from streamlearn.assemble import make_decoder, shard_factory
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.native import kernels_folder
from streamlearn.telemetry import Telemetry
from streamlearn.warming import warm_up

# Kernels are compiled for types, and these are all: what a config names changes no type.
_CONFIG = """
[stream]
name = "compile"
task = "{task}"
[source.files]
paths = ["nothing.jsonl"]
[event]
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


def compile_kernels() -> dict[str, Any]:
    """Compile what is not on the disk yet. Returns ``{"folder", "kernels", "seconds"}``."""
    began = time.monotonic()
    for task, pipelines in _PIPELINES.items():
        models = (_MODEL.format(number=n, pipeline=each) for n, each in enumerate(pipelines))
        config = parse(_CONFIG.format(task=task) + "".join(models), [], {})
        _warm(config)
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


def _open_c_doors() -> None:
    """Compile what reads and writes librdkafka's messages, by opening a reader and a producer that ask nobody."""
    from streamlearn.config import KafkaSource
    from streamlearn.connectors.kafka_producers import open_producer
    from streamlearn.connectors.kafka_reader import KafkaReader
    from streamlearn.connectors.kafka_settings import producer_settings

    KafkaReader(KafkaSource(bootstrap_servers="127.0.0.1:1", topics=("t",), group_id="g")).close()
    open_producer(producer_settings("127.0.0.1:1", {}), lambda _error, _record: None)
