"""Plots of ``results.json``, each as PNG and SVG: ``python -m bench.plots [RESULTS] [FOLDER]``.

Bars are medians, whiskers go from the slowest to the fastest round. What was not measured is not drawn.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import plan, report
from bench.harness import REPOSITORY, ContenderAbsent, Record

OURS, THEIRS, LINE = "#1f6f8b", "#9aa5b1", "#c8553d"
RATIOS = (0.1, 0.5, 1.0)  # of raw consume: lines across the bars


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw what the records tell of, and return the files. Raises ContenderAbsent where there is no matplotlib."""
    if find_spec("matplotlib") is None:
        raise ContenderAbsent("matplotlib is not installed: pip install -c constraints.txt -e '.[bench]'")
    import matplotlib

    matplotlib.use("Agg")
    # The same figures make the same files.
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, drawing in (("rates", _rates), ("costs", _costs), ("types", _types)):
        figure = drawing(records)
        if figure is not None:
            written += _save(figure, folder / name)
    return written


def _save(figure: Any, path: Path) -> list[Path]:
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(paths[0], dpi=130, bbox_inches="tight", metadata={"Software": None})
    figure.savefig(paths[1], bbox_inches="tight", metadata={"Date": None})
    return paths


def _new(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def _rates(records: Sequence[Record]) -> Any:
    """Bars of rates, the fastest on top, on a logarithmic axis; lines mark shares of raw consume."""
    found = [each for each in report.of_group(records, "side_by_side") if each["value"]]
    if not found:
        return None
    found.sort(key=lambda each: each["value"])
    figure, axes = _new(1, 1, 9, 0.36 * len(found) + 1.2)
    _bars(axes, [report.label(each["name"]) for each in found], found)
    raw = next((each["value"] for each in found if each["name"] == plan.RAW), None)
    for ratio in RATIOS if raw else ():
        axes.axvline(raw * ratio, color=LINE, linewidth=0.8, linestyle="--", zorder=0)
        axes.text(
            raw * ratio,
            len(found) - 0.4,
            f"{ratio:g} x raw",
            color=LINE,
            ha="center",
            va="bottom",
            fontsize=8,
        )
    axes.set_xscale("log")
    axes.set_xlim(right=max(each["value"] for each in found) * 4)
    axes.set_xlabel("events/s (JSON of 20 floats, predict, judge, learn), logarithmic")
    return figure


def _bars(axes: Any, labels: list[str], found: Sequence[Record]) -> None:
    values = [each["value"] for each in found]
    whiskers = [
        [value - each["range"][0] for value, each in zip(values, found, strict=True)],
        [each["range"][1] - value for value, each in zip(values, found, strict=True)],
    ]
    colours = [OURS if each["name"].startswith("ours") else THEIRS for each in found]
    axes.barh(range(len(found)), values, color=colours, xerr=whiskers, error_kw={"linewidth": 0.8})
    axes.set_yticks(range(len(found)), labels)
    for place, each in enumerate(found):
        ratio = "" if each["ratio"] is None else f"  ({each['ratio']:.2g}x)"
        axes.text(each["range"][1] * 1.06, place, f"{each['value']:,.0f}{ratio}", va="center", fontsize=8)


def _costs(records: Sequence[Record]) -> Any:
    """Microseconds an event against what grows: features, partitions, models, bytes; raw consume beside them."""
    axes_of = {
        "features": "features",
        "partitions": "partitions",
        "models": "models",
        "bytes": "bytes an event",
    }
    if not report.of_group(records, "features"):
        return None
    figure, grid = _new(2, 2, 9, 6)
    for axes, (group, name) in zip(grid.flat, axes_of.items(), strict=True):
        found = [each for each in report.points(records, group) if each["value"]]  # type: ignore[arg-type]
        if group == "partitions":
            for scope in ("stream", "partition"):
                _line(axes, [each for each in found if report.scope(each) == scope], f"ours, {scope} scope")
        else:
            _line(axes, found, "ours, compiled")
        if group in ("features", "bytes"):
            _line(axes, found, "raw consume of the same", key="baseline_value")
        axes.set_xlabel(name)
        axes.set_ylabel("µs an event")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _line(axes: Any, found: Sequence[Record], name: str, key: str = "value") -> None:
    some = [each for each in found if each[key]]
    style = {"color": THEIRS, "linestyle": "--"} if key != "value" else {}
    axes.plot(
        [each["at"] for each in some], [1e6 / each[key] for each in some], marker="o", label=name, **style
    )


def _types(records: Sequence[Record]) -> Any:
    """Bars of rates for events of several types."""
    if not report.of_group(records, "types"):
        return None
    found = [each for each in report.points(records, "types") if each["value"]]
    if not found:
        return None
    figure, axes = _new(1, 1, 9, 0.36 * len(found) + 1.2)
    _bars(axes, [f"{each['at']}, {each['event_bytes']} bytes" for each in found], found)
    axes.set_xlim(right=max(each["range"][1] for each in found) * 1.3)
    axes.set_xlabel("events/s; in brackets, beside raw consume of the same events")
    return figure


def main(arguments: Sequence[str]) -> None:
    results = Path(arguments[0]) if arguments else Path(__file__).with_name("results.json")
    folder = Path(arguments[1]) if len(arguments) > 1 else REPOSITORY / "docs" / "plots"
    for path in draw(json.loads(results.read_text("utf-8")), folder):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
