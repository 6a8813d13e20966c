"""Predicts events in blocks of rows whose shapes and places are fixed, and keeps what a step needs of it.

Upholds `replay_equals_run` on the CPU: the network runs on blocks alone. Block number n of a matrix
holds its rows n * block_events and on; a row stands where its number says, however few of the block's
rows are asked for. So an event meets the same instructions whatever the call that brought it.

There are two matrices. In that of the **mini-batch** stand the labelled events that wait for a step. What the
network made of them stays there, and the block that a later event fills is run again with all its rows: so
when the mini-batch is full, the step finds its forward pass done, however the events came. The **loose** one
holds a block of what no step follows: unlabelled events, and all that ``predict`` is asked for.

Shape letters: B events, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from streamlearn.learners.torch_device import Answers, Capture, Work, staged
from streamlearn.learners.torch_inputs import Inputs, Statistics
from streamlearn.learners.torch_memory import in_halves
from streamlearn.learners.torch_mlp import Network
from streamlearn.learners.torch_pass import Pass
from streamlearn.learners.torch_tasks import Head

# A call for a single event pays for a whole block. With 20 features and hidden (128, 64) on one core, 256 rows
# take 0.12 ms; a full mini-batch of 512 takes 0.22 ms, in blocks of 256 as in one.
BLOCK_EVENTS_CPU = 256

# On cuda the launch of a kernel costs as much as the work on thousands of rows.
BLOCK_EVENTS_CUDA = 8192


class Blocks:
    """The two matrices, and the network's forward passes over their blocks.

    Parameters
    ----------
    network, head
        What runs.
    batch_events
        Rows of a mini-batch.
    capture
        Makes one launch of work whose shapes and places are fixed.
    """

    def __init__(self, network: Network, head: Head, batch_events: int, capture: Capture) -> None:
        self.network = network
        self.head = head
        self.batch_events = batch_events
        self.block_events = BLOCK_EVENTS_CUDA if network.device.type == "cuda" else BLOCK_EVENTS_CPU
        self.answers = Answers(network.device)
        self._capture = capture
        self._weights: Tensor | None = None  # for which there are buffers
        self._batch: Pass | None = None
        self._loose: Pass | None = None
        self._work: dict[tuple[bool, int], Work] = {}  # of the mini-batch's matrix or not; first row
        self._rows_done = 0  # of the mini-batch, from its first on

    def waiting(self, statistics: Statistics, inputs: Inputs, row: int) -> list[Tensor]:
        """Predict labelled events that take these rows of the mini-batch; answers_BO, one block after the other.

        As all answers, they are on the host when ``answers.wait`` has returned.
        """
        stop = row + len(inputs)
        assert stop <= self.batch_events, "events stand within their mini-batch"
        try:
            batch = self.batch_pass()
            put(batch, statistics, inputs, row)
            said = [
                self.answers.fetch(batch.answer_BO[max(row, start) : min(stop, end)])
                for start, end in self._run(row, stop)
            ]
        except torch.OutOfMemoryError:
            said = []
        if not said:  # outside of the handler, whose traceback keeps what did not fit alive
            self.next_batch()
            return self.loose(statistics, inputs, row, self.batch_events)
        if row == self._rows_done:
            self._rows_done = stop
        return said

    def loose(self, statistics: Statistics, inputs: Inputs, row: int, height: int | None) -> list[Tensor]:
        """Predict events from which nothing is learned, or not yet; answers_BO, one block after the other.

        Parameters
        ----------
        row
            Where the first of them stands in a matrix of ``height`` rows (None: without end).
        """
        said, stop = [], row + len(inputs)
        for first in range(row - row % self.block_events, stop, self.block_events):
            rows = self.block_events if height is None else min(self.block_events, height - first)
            begin, end = max(row, first), min(stop, first + rows)
            part = inputs.at(slice(begin - row, end - row))
            try:
                answer_BO = self._loose_block(statistics, part, begin - first, rows)
            except torch.OutOfMemoryError:
                answer_BO = None
            if answer_BO is None:
                alone = partial(self._alone, statistics, part, begin - first)
                answer_BO = in_halves(rows, alone)[begin - first : end - first]
            said.append(self.answers.fetch(answer_BO))
        return said

    def batch_pass(self) -> Pass:
        """Return the mini-batch's matrix. Raises torch.OutOfMemoryError."""
        self._follow_network()
        if self._batch is None:
            self._batch = Pass(self.network, self.head, self.batch_events)
        return self._batch

    def complete(self, statistics: Statistics, inputs: Inputs, *, run: bool) -> None:
        """See to it that the full mini-batch's inputs are in its matrix, and where ``run`` its outputs.

        They are where all its events were predicted since it began; else (the network knew nothing, or became
        another, or the state was restored meanwhile) they are made now, with the same bits.
        """
        batch = self.batch_pass()
        if self._rows_done < self.batch_events:
            put(batch, statistics, inputs, 0)
            if run:
                for _ in self._run(0, self.batch_events):
                    pass

    def next_batch(self) -> None:
        """Begin the next mini-batch: none of its events was predicted."""
        self._rows_done = 0

    def _follow_network(self) -> None:
        """Drop the buffers, and what was captured, of weights that the network has no longer."""
        if self._weights is not self.network.weights:
            self._weights = self.network.weights
            self._batch = self._loose = None
            self._work.clear()
            self._rows_done = 0

    def _run(self, row: int, stop: int) -> Iterator[tuple[int, int]]:
        """Run the mini-batch's blocks that hold these rows; yield the rows of each."""
        batch = self.batch_pass()
        for start in range(row - row % self.block_events, stop, self.block_events):
            end = min(start + self.block_events, self.batch_events)
            self._forward(batch, start, end)
            yield start, end

    def _loose_block(self, statistics: Statistics, inputs: Inputs, row: int, rows: int) -> Tensor:
        self._follow_network()
        if self._loose is None:
            self._loose = Pass(self.network, self.head, self.block_events)
        put(self._loose, statistics, inputs, row)
        if rows == self.block_events:
            self._forward(self._loose, 0, rows)
        else:
            self._loose.forward(slice(0, rows))
        return self._loose.answer_BO[row : row + len(inputs)]

    def _forward(self, matrix: Pass, start: int, end: int) -> None:
        key = (matrix is self._batch, start)
        if key not in self._work:
            self._work[key] = self._capture(lambda: matrix.forward(slice(start, end)), self.network.device)
        self._work[key]()

    def _alone(self, statistics: Statistics, inputs: Inputs, row: int, span: slice) -> Tensor:
        """Run some rows of a block by themselves, in which these events stand at ``row`` and on."""
        alone = Pass(self.network, self.head, span.stop - span.start)
        begin, end = max(row, span.start), min(row + len(inputs), span.stop)
        if begin < end:
            put(alone, statistics, inputs.at(slice(begin - row, end - row)), begin - span.start)
        alone.forward(slice(0, alone.rows))
        return alone.answer_BO


def put(matrix: Pass, statistics: Statistics, inputs: Inputs, row: int) -> None:
    """Put these events' standardized inputs into the rows from ``row`` on."""
    rows, width = slice(row, row + len(inputs)), inputs.numeric_BF.shape[1]
    with staged(matrix.numeric_BN[rows]) as numeric_BN:
        statistics.standardize(inputs.numeric_BF, numeric_BN[:, :width])
        if inputs.missing_BF.shape[1]:
            numeric_BN[:, width:] = inputs.missing_BF
    if inputs.bucket_BK.shape[1]:
        with staged(matrix.bucket_BK[rows]) as bucket_BK:
            bucket_BK[...] = inputs.bucket_BK
