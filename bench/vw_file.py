"""Vowpal Wabbit over a local file: the events of a workload in its text format, read, predicted, judged, learned.

    python -m bench.vw_file FILE

The figures are of one pass with a logistic loss, as ``vw -d FILE --loss_function logistic`` makes it; its learning
rates adapt to the scale of each feature, which stands for the scaler. VW reads in one thread and learns in another.
Its progressive loss is computed on the way, before each event is learned.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from bench.harness import ContenderAbsent
from bench.workload import LABEL


def write(lines: Path, path: Path, *, times: int) -> None:
    """Write a file of JSON lines in VW's format, so often, one after the other; nothing is rounded.

    Raises ContenderAbsent where VW is not installed: then nothing is written.
    """
    check_installed()
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with lines.open("rb") as file:
        text = "".join(line_of(decode(line)) for line in file)
    with path.open("w", encoding="utf-8") as file_out:
        for _ in range(times):
            file_out.write(text)


def line_of(event: dict[str, Any]) -> str:
    """Return an event as a line.

    >>> line_of({"x_00": 0.5, "x_01": -2.0, "label": True})
    '1 |f x_00:0.5 x_01:-2.0\\n'
    """
    label = "1" if event[LABEL] else "-1"
    return f"{label} |f {' '.join(f'{name}:{x!r}' for name, x in event.items() if name != LABEL)}\n"


def check_installed() -> None:
    """Raises ContenderAbsent where there is no VW."""
    if find_spec("vowpalwabbit") is None:
        raise ContenderAbsent("vowpalwabbit is not installed: pip install -c constraints.txt -e '.[bench]'")


def learn_from(path: Path) -> dict[str, Any]:
    """Run VW over the file. The clock begins before it opens the file and ends once all is learned."""
    from vowpalwabbit import Workspace

    began = time.perf_counter()
    workspace = Workspace(arg_list=["-d", str(path), "--loss_function", "logistic", "--quiet"])
    seconds = time.perf_counter() - began
    events = round(workspace.get_weighted_examples())
    loss = workspace.get_sum_loss() / events
    workspace.finish()
    return {"events": events, "seconds": seconds, "progressive_log_loss": loss}


if __name__ == "__main__":
    print(json.dumps(learn_from(Path(sys.argv[1]))))
