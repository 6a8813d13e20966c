"""River's scalers: over a column of numbers at a time, and over one value. See kernels_transform.py."""

from __future__ import annotations

import math

from streamlearn.events import Bool_B, Float_B, Float_BF, Int_B
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


@uncounted
def standardize(
    stage: Int_B, cells: Cells, learned_W: Bool_B, before_WV: Float_BF, after_WV: Float_BF
) -> None:
    origin, output = stage[STAGE_FROM], stage[STAGE_TO]
    width, cell = stage[STAGE_WIDTH], stage[STAGE_CELL]
    seen, mean = cells.seen[cell : cell + width], cells.low[cell : cell + width]
    variance, root = cells.high[cell : cell + width], cells.root[cell : cell + width]
    for w in range(len(learned_W)):
        x, out = before_WV[w, origin : origin + width], before_WV[w, output : output + width]
        _standardized(x, out, mean, variance, root)
        if learned_W[w]:
            x, out = after_WV[w, origin : origin + width], after_WV[w, output : output + width]
            _learn_standard(x, out, seen, mean, variance, root)


@uncounted
def _standardized(x: Float_B, out: Float_B, mean: Float_B, variance: Float_B, root: Float_B) -> None:
    for j in range(len(x)):
        quotient = (x[j] - mean[j]) / root[j]
        out[j] = quotient if variance[j] != 0.0 else 0.0


@uncounted
def _learn_standard(
    x: Float_B, out: Float_B, seen: Float_B, mean: Float_B, variance: Float_B, root: Float_B
) -> None:
    # Welford's update, as River writes it; one loop, which the compiler turns into vector instructions.
    for j in range(len(x)):
        seen[j] += 1.0
        deviation = x[j] - mean[j]
        new_mean = mean[j] + deviation / seen[j]
        new_variance = variance[j] + (deviation * (x[j] - new_mean) - variance[j]) / seen[j]
        mean[j] = new_mean
        variance[j] = new_variance
        new_root = math.sqrt(new_variance)
        root[j] = new_root
        quotient = (x[j] - new_mean) / new_root
        out[j] = quotient if new_variance != 0.0 else 0.0


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
