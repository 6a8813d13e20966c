"""River's scalers: over a column of numbers at a time, and over one value. See kernels_transform.py."""

from __future__ import annotations

import math
from typing import Any

from streamlearn.events import Bool_B, Float_BF, Int_B
from streamlearn.learners.compiled.layout import (
    CENTER,
    MAX_ABS,
    MIN_MAX,
    STAGE_CELL,
    STAGE_FROM,
    STAGE_KIND,
    STAGE_TO,
    STAGE_WIDTH,
    STANDARD,
    Cells,
)
from streamlearn.native import uncounted
from streamlearn.native_lanes import LANES, lanes, load, root_of, store, zero_where_zero


@uncounted
def standardize(
    stage: Int_B, cells: Cells, learned_W: Bool_B, before_WV: Float_BF, after_WV: Float_BF
) -> None:
    whole = stage[STAGE_WIDTH] - stage[STAGE_WIDTH] % LANES
    for j in range(0, whole, LANES):
        _standardize(stage, cells, j, lanes(1.0), learned_W, before_WV, after_WV)
    for j in range(whole, stage[STAGE_WIDTH]):
        _standardize(stage, cells, j, 1.0, learned_W, before_WV, after_WV)


@uncounted
def _standardize(
    stage: Int_B,
    cells: Cells,
    j: int,
    one: Any,
    learned_W: Bool_B,
    before_WV: Float_BF,
    after_WV: Float_BF,
) -> None:
    """Standardize one feature, or lanes of them, in all events: what was learned stays in registers meanwhile."""
    place, output, cell = stage[STAGE_FROM] + j, stage[STAGE_TO] + j, stage[STAGE_CELL] + j
    seen, mean = load(cells.seen, cell, one), load(cells.low, cell, one)
    variance, root = load(cells.high, cell, one), load(cells.root, cell, one)
    for w in range(len(learned_W)):
        x = load(before_WV, place, one)
        store(before_WV, output, zero_where_zero(variance, (x - mean) / root))
        if learned_W[w]:
            # Welford's update, as River writes it.
            x = load(after_WV, place, one)
            seen = seen + one
            deviation = x - mean
            mean = mean + deviation / seen
            variance = variance + (deviation * (x - mean) - variance) / seen
            root = root_of(variance)
            store(after_WV, output, zero_where_zero(variance, (x - mean) / root))
        place += before_WV.shape[1]
        output += before_WV.shape[1]
    store(cells.seen, cell, seen)
    store(cells.low, cell, mean)
    store(cells.high, cell, variance)
    store(cells.root, cell, root)


@uncounted
def scale(stage: Int_B, cells: Cells, learned_W: Bool_B, before_WV: Float_BF, after_WV: Float_BF) -> None:
    kind, origin, output = stage[STAGE_KIND], stage[STAGE_FROM], stage[STAGE_TO]
    seen, low, high = cells.seen, cells.low, cells.high
    for w in range(len(learned_W)):
        for j in range(stage[STAGE_WIDTH]):
            c = stage[STAGE_CELL] + j
            before_WV[w, output + j] = scaled(kind, before_WV[w, origin + j], low[c], high[c])
            if learned_W[w]:
                x = after_WV[w, origin + j]
                seen[c], low[c], high[c] = learned(kind, x, seen[c], low[c], high[c])
                after_WV[w, output + j] = scaled(kind, x, low[c], high[c])


@uncounted
def scaled(kind: int, x: float, low: float, high: float) -> float:
    """One value through one scaler."""
    if kind == MIN_MAX:
        span = high - low
        return (x - low) / span if span != 0.0 else 0.0
    if kind == MAX_ABS:
        return x / low if low != 0.0 else 0.0
    if kind == CENTER:
        return x - low
    return (x - low) / math.sqrt(high) if high != 0.0 else 0.0


@uncounted
def learned(kind: int, x: float, seen: float, low: float, high: float) -> tuple[float, float, float]:
    """What one scaler holds of one feature after it learned ``x``."""
    if kind == MIN_MAX:
        return 1.0, (x if x < low else low), (x if x > high else high)
    if kind == MAX_ABS:
        return 1.0, (abs(x) if abs(x) > low else low), high
    seen += 1.0
    deviation = x - low
    low += deviation / seen
    if kind == STANDARD:
        high += (deviation * (x - low) - high) / seen
    return seen, low, high
