"""The world sees what is taken out of the belt, or put in: a few mutations by default, and all on demand.

    STREAMLEARN_SIM_MUTATIONS=all pytest tests/sim/test_world_mutations.py -s

They run in a process of their own, since modules are made anew there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import world_mutations
from world_mutations import MUTATIONS, Mutation, TextNotFound, world_with

A_FEW = (
    "predictions are not muted while the past is learned again",
    "the order journal is ignored",
    "a checkpoint does not wait for what it covers to be out",
    "the group is told before the checkpoint is durable",
    "a lost shard is published",
    "a checkpoint is visible before its segments are durable",
)


@pytest.mark.timeout(0)  # as long as all take
def test_each_mutation_is_seen_by_some_seed() -> None:
    names = A_FEW if os.environ.get("STREAMLEARN_SIM_MUTATIONS") != "all" else ()
    command = [sys.executable, str(Path(world_mutations.__file__)), *names]
    # What all tests share lies a folder above, where pytest's own settings find it.
    shared = str(Path(world_mutations.__file__).parent.parent)
    path = os.pathsep.join([shared, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == (len(names) or len(MUTATIONS))


def test_the_few_are_among_all() -> None:
    assert set(A_FEW) <= {mutation.name for mutation in MUTATIONS}


def test_a_text_that_is_gone_is_told() -> None:
    with pytest.raises(TextNotFound, match="has 0 of it"):
        world_with(Mutation("gone", "streamlearn.belt.loop", "no such line", ""))
