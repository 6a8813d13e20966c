"""Signed checkpoints, from the daemon's environment to what `streamlearn checkpoints` says of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn.checkpoints.format import SEAL_BYTES, decode, encode
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.stores import open_store
from streamlearn.commands.checkpoints import print_verified
from streamlearn.contracts import ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointCorrupt, CheckpointRefused
from streamlearn.events import TopicPartition

NAME = "STREAMLEARN_CHECKPOINT_KEY"
KEY = b"secret"
STATE = ShardState(
    *("flights", "flights", 3, {TopicPartition("flights", 0): 9}, 9, 0, {}, (ModelEntry("a", 9, 9),)),
    *({"model/a": Snapshot({"n": 9}, {"weights": np.arange(8.0)})}, {"seed": 1}, {}),
)
CONFIG = """
[stream]
name = "flow"
task = "binary"

[source.files]
paths = ["events.jsonl"]

[event]
label = "y"
numeric = ["x"]

[[models]]
name = "logistic"
learner = "river"
pipeline = ["linear_model.LogisticRegression"]

[http]
enabled = false
"""


def streamlearn(folder: Path, *arguments: str, key: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != NAME}
    return subprocess.run(
        [sys.executable, "-m", "streamlearn", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        env=environment | ({NAME: key} if key is not None else {}),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a daemon that ran under a key, and one with a checkpoint that nobody signed."""
    signed_run, unsigned = tmp_path_factory.mktemp("signed"), tmp_path_factory.mktemp("unsigned")
    (signed_run / "flow.toml").write_text(CONFIG)
    lines = [json.dumps({"x": number % 7, "y": number % 2 == 0}) for number in range(50)]
    (signed_run / "events.jsonl").write_text("\n".join(lines) + "\n")
    done = streamlearn(signed_run, "run", "flow.toml", "--until-end", key="secret")
    assert done.returncode == 0, done.stderr
    keeper = CheckpointKeeper(open_store(str(unsigned / "checkpoints"), "flights"), keep=2)
    keeper.claim("flights")
    keeper.publish(STATE)
    return {"signed": signed_run, "unsigned": unsigned}


@pytest.mark.parametrize(
    ("run", "key", "says"),
    [
        ("signed", "secret", None),
        ("signed", None, None),  # without a key, signatures are not looked at
        ("signed", "guessed", "was signed with another key"),
        ("unsigned", None, None),
        ("unsigned", "secret", "is not signed"),
    ],
)
def test_verify_asks_for_the_key_of_the_environment(
    runs: dict[str, Path],
    run: str,
    key: str | None,
    says: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if key is not None:
        monkeypatch.setenv(NAME, key)
    assert print_verified(str(runs[run] / "checkpoints"), as_json=True) == (says is None)
    rows = json.loads(capsys.readouterr().out)
    assert rows
    for row in rows:
        assert row["ok"] == (says is None)
        assert says is None or (says in row["error"] and NAME in row["error"])


def test_a_daemon_with_another_key_does_not_start_and_changes_nothing(runs: dict[str, Path]) -> None:
    folder = runs["signed"]
    before = {
        path: path.read_bytes() for path in sorted((folder / "checkpoints").rglob("*")) if path.is_file()
    }
    assert any(path.name.endswith(".claim") for path in before)
    done = streamlearn(folder, "run", "flow.toml", "--until-end", key="guessed")
    assert done.returncode == 4
    assert "was signed with another key" in done.stderr
    assert "set the key that it was written with" in done.stderr
    assert "guessed" not in done.stdout + done.stderr
    after = {
        path: path.read_bytes() for path in sorted((folder / "checkpoints").rglob("*")) if path.is_file()
    }
    assert after == before, "no claim was made, so nobody was fenced"


def test_the_exit_code_of_verify_says_so(runs: dict[str, Path]) -> None:
    done = streamlearn(runs["signed"], "checkpoints", "verify", "checkpoints", key="guessed")
    assert done.returncode == 4
    assert "another key" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr


def signed() -> tuple[bytes, bytes, bytes]:
    """A signed file in three: what is signed, the seal (signature and checksum), and the sections."""
    first, *sections = encode(STATE, key=KEY)
    return bytes(first[:-SEAL_BYTES]), bytes(first[-SEAL_BYTES:]), b"".join(sections)


def sealed_anew(header: bytes, signature: bytes, sections: bytes) -> bytes:
    """A file with a checksum that matches, as anybody can make one."""
    return header + signature + hashlib.sha256(header + signature).digest() + sections


def test_every_shortened_or_changed_signature_is_refused() -> None:
    header, seal, sections = signed()
    signature = seal[:32]
    decode(sealed_anew(header, signature, sections), key=KEY)
    for length in range(32):
        with pytest.raises(CheckpointRefused):
            decode(sealed_anew(header, signature[:length].ljust(32, b"\0"), sections), key=KEY)
    for bit in range(256):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointRefused):
            decode(sealed_anew(header, bytes(changed), sections), key=KEY)


def test_a_file_that_is_cut_within_its_seal_is_corrupt() -> None:
    header, seal, _ = signed()
    for length in range(SEAL_BYTES):
        for key in (KEY, None):
            with pytest.raises(CheckpointCorrupt):
                decode(header + seal[:length], key=key)


def test_a_signature_left_out_shifts_nothing_into_its_place() -> None:
    header, seal, sections = signed()
    without = header + hashlib.sha256(header).digest() + sections
    for key in (KEY, None):
        with pytest.raises(CheckpointCorrupt):
            decode(without, key=key)
    assert seal[:32] not in without


@pytest.mark.parametrize("change", ["header", "sections", "both"])
def test_content_that_was_exchanged_under_a_signature_is_refused(change: str) -> None:
    header, seal, sections = signed()
    other: Any = header.replace(b'"events_learned":9', b'"events_learned":8')
    assert other != header
    if change in ("header", "both"):
        header = other
    if change in ("sections", "both"):
        sections = sections[:-1] + bytes([sections[-1] ^ 1])
    with pytest.raises((CheckpointRefused, CheckpointCorrupt)):
        decode(sealed_anew(header, seal[:32], sections), key=KEY)
