"""How long labels took, as counts in buckets that grow: enough for quantiles, within 4.5%."""

from __future__ import annotations

import numpy as np

from streamlearn.events import Float_B, Int_B

BUCKETS_EACH_DOUBLING = 16
DELAYS_SIZE = 30 * BUCKETS_EACH_DOUBLING  # 2**30 seconds are 34 years


def note_delays(counts: Int_B, delay_us: Int_B) -> None:
    """Count delays, in microseconds.

    >>> counts = np.zeros(DELAYS_SIZE, np.int64)
    >>> note_delays(counts, np.array([0, 3_600_000_000, 3_600_000_000]))
    >>> [round(float(each)) for each in delay_quantiles(counts, [0.1, 0.5, 0.99])]
    [0, 3675, 3675]
    """
    seconds = np.maximum(delay_us, 0) / 1e6
    buckets = np.minimum(np.log2(1 + seconds) * BUCKETS_EACH_DOUBLING, len(counts) - 1).astype(np.int64)
    counts += np.bincount(buckets, minlength=len(counts))


def delay_quantiles(counts: Int_B, quantiles: list[float]) -> Float_B:
    """Return quantiles in seconds; NaN while nothing was counted. Of a bucket, its middle."""
    total = int(counts.sum())
    if not total:
        return np.full(len(quantiles), np.nan)
    ranks = np.maximum(np.ceil(np.array(quantiles) * total), 1)
    buckets = np.searchsorted(np.cumsum(counts), ranks)
    low = 2 ** (buckets / BUCKETS_EACH_DOUBLING) - 1
    high = 2 ** ((buckets + 1) / BUCKETS_EACH_DOUBLING) - 1
    middles: Float_B = np.where(buckets == 0, 0.0, (low + high) / 2)
    return middles
