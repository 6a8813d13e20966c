"""After ``streamlearn compile`` no stream waits for the compiler: what streams need is on the disk.

Takes some three minutes, so ``make test-kernels`` runs it and ``make test`` does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kafka_for_tests import KafkaForTests

from streamlearn.connectors.admin import create_topic

ARROW = """
[stream]
name = "flights"
task = "binary"
[source.kafka]
bootstrap_servers = "{bootstrap_servers}"
topics = ["compiled-before"]
group_id = "compiled-before"
[event]
format = "arrow"
label = "late"
time = "scheduled_at"
numeric = ["dep_delay", "distance"]
categorical = ["carrier"]
[[models]]
name = "logistic"
learner = "river"
pipeline = [{{ use = "compose.Select", keys = ["dep_delay", "distance"] }}, "preprocessing.StandardScaler", "linear_model.LogisticRegression"]
[predictions]
topic = "compiled-before-predictions"
format = "arrow"
[http]
port = 0
"""


@pytest.mark.kafka
@pytest.mark.timeout(900)
@pytest.mark.skipif("KERNELS_TEST" not in os.environ, reason="make test-kernels runs it")
def test_streams_find_their_kernels_on_the_disk(kafka: KafkaForTests, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    servers = ("--bootstrap-servers", kafka.bootstrap_servers)

    def kernels_after(*arguments: str) -> set[str]:
        subprocess.run(
            [sys.executable, "-m", "streamlearn", *arguments],
            check=True,
            cwd=tmp_path,
            env={**os.environ, "STREAMLEARN_CACHE": str(cache)},
            stdout=subprocess.DEVNULL,
        )
        return {path.name for path in cache.rglob("*.nb?")}

    compiled = kernels_after("compile")
    assert len(compiled) > 200
    assert kernels_after("demo", "--events", "30000", "--port", "0", *servers) - compiled == set()
    kernels_after(
        "produce", "compiled-before", "--flights", "--events", "60000", "--format", "arrow", *servers
    )
    create_topic(kafka.bootstrap_servers, "compiled-before-predictions", 4, {})
    config = tmp_path / "arrow.toml"
    config.write_text(ARROW.format(bootstrap_servers=kafka.bootstrap_servers))
    assert kernels_after("run", str(config), "--until-end") - compiled == set()
