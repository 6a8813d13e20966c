"""The same events with nobody else around: what one worker learns of them, and what a plain River loop says.

In partition scope one worker reads the topic anew, to its end. In stream scope, and where labels have a topic of
their own, the order of a live read is part of what was learned, so one process learns events and journal
(``streamlearn replay``). The River loop takes the
order from the records themselves, and shares no code with the belt.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from chaos.rebalance_world import DEADLINE_SECONDS, RebalanceWorld
from daemon_process import DaemonProcess
from river import compose, linear_model, preprocessing

from streamlearn.checkpoints.inspect import show


def digests_of(folder: Path) -> dict[str, str]:
    """The digest of each shard in the checkpoints of a folder."""
    return {shard["shard"]: shard["state_digest"] for shard in show(f"{folder}/checkpoints")["shards"]}


def digests_of_one_worker(world: RebalanceWorld) -> dict[str, str]:
    """The digests of one worker that learns everything that the world's have learned."""
    folder = world.folder / "alone"
    folder.mkdir()
    if world.setup.scope == "stream" or world.setup.delayed_labels:
        return {shard: _replayed(world, folder, shard) for shard in world.shards}
    text = world.text().replace(f'group_id = "{world.name}"', f'group_id = "{world.name}.alone"')
    text = text.partition("[predictions]")[0] + "[http]\nenabled = false\n"
    with DaemonProcess(folder, world.kafka.bootstrap_servers, text, "--until-end") as run:
        run.summary(DEADLINE_SECONDS)
    return digests_of(folder)


def _replayed(world: RebalanceWorld, folder: Path, shard: str) -> str:
    config = folder / "replay.toml"
    config.write_text(world.text())
    command = [sys.executable, "-m", "streamlearn", "replay", str(config), "--shard", shard, "--json"]
    command += ["--set", f"checkpoint.path={world.folder}/checkpoints"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-4000:]
    return str(json.loads(done.stdout)["state_digest"])


def river_says(places: Iterable[tuple[int, int]], logs: Mapping[int, Sequence[bytes]]) -> list[float]:
    """Return the share of true that the suite's logistic model gives each event, learning in this order.

    Test-then-train, with the running mean of the earlier values for a missing one.

    >>> river_says([(0, 0)], {0: [b'{"a": 1, "b": 2, "y": true}']})
    [0.5]
    """
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    sums, counts, shares = {"a": 0.0, "b": 0.0}, {"a": 0, "b": 0}, []
    for partition, offset in places:
        event = json.loads(logs[partition][offset])
        x = {}
        for name in sums:
            if event[name] is None:
                x[name] = sums[name] / counts[name] if counts[name] else 0.0
            else:
                x[name] = event[name]
                sums[name] += event[name]
                counts[name] += 1
        shares.append(model.predict_proba_one(x)[True])
        model.learn_one(x, event["y"])
    return shares
