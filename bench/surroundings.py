"""What a figure depends on beside the code: the machine, the versions of what took part, the moment."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.harness import REPOSITORY

LIBRARIES = (
    "streamlearn", "river", "confluent-kafka", "numba", "numpy", "pyarrow", "polars", "msgspec", "torch", "vowpalwabbit",
)  # fmt: skip
QUIX_PYTHON = REPOSITORY / ".venv-quix" / "bin" / "python"  # made by `make bench`


def surroundings(arguments: Sequence[str], *, quick: bool) -> dict[str, Any]:
    """Return what is written beside each figure of a run."""
    return {
        "command": " ".join(("python -m bench", *arguments)),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": f"{platform.system()} {platform.release()}",
            "load_average_before": round(os.getloadavg()[0], 2),
        },
        "versions": versions(),
    }


@cache
def versions() -> dict[str, str]:
    """Return the versions of what took part; what is not installed is told as absent."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "absent"
    return found | {"quixstreams": _quix_version()}


def _quix_version() -> str:
    if not QUIX_PYTHON.exists():
        return "absent"
    program = "from importlib.metadata import version; print(version('quixstreams'))"
    done = subprocess.run([QUIX_PYTHON, "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "absent"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
