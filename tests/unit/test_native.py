"""Kernels are kept on the disk, come back from there, and a cache that is broken or locked costs time alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamlearn import native

PROGRAM = """
from streamlearn.belt import metrics_kernels, drift_kernels
import numpy as np
from streamlearn.belt.drift import Adwin
from streamlearn import native
print(native.is_compiled())
adwin = Adwin(0.002)
print(list(adwin.update(np.arange(500) % 7 / 7.0)), adwin.width)
print(sum(sum(each.stats.cache_hits.values()) for each in (drift_kernels.adwin,)))
"""


def run(cache: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "STREAMLEARN_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("cache")
    compiled, said, hits = run(cache)
    assert (compiled, hits) == ("False", "0")
    assert run(cache) == ["True", said, "1"]
    return cache


def test_a_broken_file_is_compiled_anew(filled: Path) -> None:
    _, said, _ = run(filled)
    for path in filled.rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert run(filled)[1:] == [said, "0"]
    assert run(filled)[1:] == [said, "1"], "and written again"


def test_a_folder_that_cannot_be_written_is_read(filled: Path, tmp_path: Path) -> None:
    expected = run(filled)
    folder = next(filled.glob("kernels/*"))
    modes = {path: path.stat().st_mode for path in (filled, folder.parent, folder)}
    for path in modes:
        path.chmod(0o555)
    try:
        assert run(filled) == expected
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    nowhere = tmp_path / "file"
    nowhere.write_text("not a folder")
    assert run(nowhere)[1] == expected[1], "no folder at all: compiled at each start"


# A kernel and what it is made of, in files of their own, as ours are.
LIBRARY = """
from streamlearn.constants import ANSWER
from streamlearn.native import kernel

@kernel
def answer() -> int:
    return ANSWER
"""
MAIN = """
from streamlearn.library import answer
from streamlearn.native import kernel

@kernel
def ask() -> int:
    return answer()
"""
ASK = "from streamlearn.main import ask; print(ask(), sum(ask.stats.cache_hits.values()))"


def ask(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=folder,  # its streamlearn is the first that is found
        env={**os.environ, "STREAMLEARN_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_kernel_is_never_older_than_what_it_is_made_of(tmp_path: Path) -> None:
    package = tmp_path / "streamlearn"
    package.mkdir()
    for name in ("__init__.py", "native.py", "environment.py"):
        (package / name).write_text((Path(native.__file__).parent / name).read_text())
    (package / "main.py").write_text(MAIN)
    (package / "library.py").write_text(LIBRARY)
    (package / "constants.py").write_text("ANSWER = 41")
    assert [ask(tmp_path), ask(tmp_path)] == ["41 0", "41 1"]
    (package / "constants.py").write_text("ANSWER = 42")
    assert [ask(tmp_path), ask(tmp_path)] == ["42 0", "42 1"]
    (package / "library.py").write_text(LIBRARY.replace("return ANSWER", "return ANSWER + 1"))
    assert ask(tmp_path) == "43 0"
    folders = list((tmp_path / "cache" / "kernels").iterdir())
    assert len(folders) == 3
