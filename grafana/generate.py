"""Write the dashboards, grafana/*.json: `python grafana/generate.py`.

A test keeps the files in step, and every metric and label in them within ``metrics_table.METRICS``. To show a
new metric, add a panel in boards/: what can be chosen follows from the metric's labels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from boards import belt, models, overview, reliability

HERE = Path(__file__).parent

DASHBOARDS = {
    "overview.json": overview.dashboard,
    "models.json": models.dashboard,
    "belt.json": belt.dashboard,
    "reliability.json": reliability.dashboard,
}


def main() -> None:
    for name, dashboard in DASHBOARDS.items():
        text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
        (HERE / name).write_text(text, encoding="utf-8")
        sys.stderr.write(f"wrote {HERE / name}\n")


if __name__ == "__main__":
    main()
