"""Statistics of blocks of events, compiled: one pass over a batch's columns, whatever is watched in them.

Upholds `replay_equals_run`: a block has so many events, and every sum adds one event after the other to what
it carried, so where a batch ends makes no difference in any bit.

Shape letters: B events of a batch, F columns, E edges of bins, S statistics of a block, K blocks of a window,
N values of a sample.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_BF, Float_B, Float_BF, Int_B
from streamlearn.native import uncounted, uncounted_inlined

# The place in a window: events of the unfinished block, blocks done.
IN_BLOCK, BLOCKS_DONE = 0, 1

# Statistics of a block of numbers: the mean, the standard deviation, the share of missing values; then for each
# bin its share of the values.
MEAN, SPREAD, MISSING, FIRST_BIN = 0, 1, 2, 3

# Statistics of a block of categories: the share of missing values; of unseen ones among the others; then for each
# bin its share of the others.
NO_VALUE, UNSEEN, FIRST_VALUE = 0, 1, 2

# Sums of the unfinished block: values, their distances from the block's first event, the squares of these; then
# for each edge the values above it.
_VALUES, _SUMS, _SQUARES, _ABOVE = 0, 1, 2, 3


@uncounted
def add_numbers(
    value_BF: Float_BF,
    missing_BF: Bool_BF,
    start: int,
    block_events: int,
    blocks: int,
    sample_every: int,
    edge_EF: Float_BF,
    first_F: Float_B,
    sum_XF: Float_BF,
    shown_F: Float_B,
    sample_NF: Float_BF,
    place_2: Int_B,
    present_KSF: npt.NDArray[np.float64],
) -> int:
    """Take events in from row ``start`` until the batch or the window ends; return the row to go on with.

    Parameters
    ----------
    first_F, sum_XF, place_2
        What is carried from batch to batch.
    shown_F
        Room for one event.
    sample_NF
        Every so-many-th event of the window, NaN where it is missing.
    present_KSF
        Each finished block's statistics; NaN where they are of no value.
    """
    columns, edges = value_BF.shape[1], len(edge_EF)
    values_F, total_F, squares_F = sum_XF[_VALUES], sum_XF[_SUMS], sum_XF[_SQUARES]
    in_block, block = place_2[IN_BLOCK], place_2[BLOCKS_DONE]
    row, stop = start, len(value_BF)
    while row < stop and block < blocks:
        value_F, missing_F = value_BF[row], missing_BF[row]
        if in_block == 0:
            for column in range(columns):
                first_F[column] = value_F[column]
                for each in range(len(sum_XF)):
                    sum_XF[each, column] = 0.0
        # Without a jump in it, and rows as arrays of their own: so the columns go side by side.
        for column in range(columns):
            missing = missing_F[column]
            distance = 0.0 if missing else value_F[column] - first_F[column]
            shown_F[column] = -math.inf if missing else value_F[column]  # above no edge
            values_F[column] += 0.0 if missing else 1.0
            total_F[column] += distance
            squares_F[column] += distance * distance
        for edge in range(edges):
            above_F, edge_F = sum_XF[_ABOVE + edge], edge_EF[edge]
            for column in range(columns):
                above_F[column] += 1.0 if shown_F[column] > edge_F[column] else 0.0
        seen = block * block_events + in_block
        if len(sample_NF) and seen % sample_every == 0:
            sample_F = sample_NF[seen // sample_every]
            for column in range(columns):
                sample_F[column] = math.nan if missing_F[column] else value_F[column]
        row, in_block = row + 1, in_block + 1
        if in_block == block_events:
            _end_block(block_events, edges, first_F, sum_XF, present_KSF[block])
            in_block, block = 0, block + 1
    place_2[IN_BLOCK], place_2[BLOCKS_DONE] = in_block, block
    return row


@uncounted_inlined
def _end_block(
    block_events: int, edges: int, first_F: Float_B, sum_XF: Float_BF, statistic_SF: Float_BF
) -> None:
    for column in range(len(first_F)):
        values = sum_XF[_VALUES, column]
        statistic_SF[MISSING, column] = (block_events - values) / block_events
        if values == 0.0:
            statistic_SF[MEAN, column] = math.nan
            statistic_SF[SPREAD, column] = math.nan
            for each in range(edges + 1):
                statistic_SF[FIRST_BIN + each, column] = math.nan
            continue
        mean = sum_XF[_SUMS, column] / values
        variance = sum_XF[_SQUARES, column] / values - mean * mean
        statistic_SF[MEAN, column] = first_F[column] + mean
        statistic_SF[SPREAD, column] = math.sqrt(variance) if variance > 0.0 else 0.0
        below = 0.0  # of the values, how many are in the bins so far
        for edge in range(edges):
            reached = values - sum_XF[_ABOVE + edge, column]
            statistic_SF[FIRST_BIN + edge, column] = (reached - below) / values
            below = reached
        statistic_SF[FIRST_BIN + edges, column] = (values - below) / values


@uncounted
def add_categories(
    code_B: npt.NDArray[np.int32],
    bin_of_code: npt.NDArray[np.int64],
    start: int,
    block_events: int,
    blocks: int,
    count_C: Float_B,
    place_2: Int_B,
    present_KSF: npt.NDArray[np.float64],
) -> int:
    """Take events in from row ``start`` until the batch or the window ends; return the row to go on with.

    Parameters
    ----------
    bin_of_code
        The bin of each code of this batch. Of the C bins the last three are: another known value, an unseen one,
        none.
    count_C, place_2
        What is carried from batch to batch.
    """
    bins = len(count_C)
    other, unseen, missing = bins - 3, bins - 2, bins - 1
    in_block, block = place_2[IN_BLOCK], place_2[BLOCKS_DONE]
    row, stop = start, len(code_B)
    while row < stop and block < blocks:
        count_C[bin_of_code[code_B[row]]] += 1.0
        row, in_block = row + 1, in_block + 1
        if in_block == block_events:
            statistic_S = present_KSF[block, :, 0]
            values = block_events - count_C[missing]
            statistic_S[NO_VALUE] = count_C[missing] / block_events
            statistic_S[UNSEEN] = count_C[unseen] / values if values > 0.0 else math.nan
            for each in range(other + 1):
                count = count_C[each] + (count_C[unseen] if each == other else 0.0)
                statistic_S[FIRST_VALUE + each] = count / values if values > 0.0 else math.nan
            for each in range(bins):
                count_C[each] = 0.0
            in_block, block = 0, block + 1
    place_2[IN_BLOCK], place_2[BLOCKS_DONE] = in_block, block
    return row
