"""What is learned from a full mini-batch: its classes, one optimizer step, its statistics.

The step is made of the mini-batch whole where that fits the device, and else in parts.

It is launched and not waited for: whether it was refused, the device knows (see ``torch_optimizer``).

Shape letters: B events.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from streamlearn.learners.torch_blocks import Blocks, put
from streamlearn.learners.torch_device import Capture, Work, staged
from streamlearn.learners.torch_memory import Gradient, in_parts, out_of_memory
from streamlearn.learners.torch_pass import Pass
from streamlearn.learners.torch_state import State
from streamlearn.learners.torch_tasks import Bool_C, classes_known


class Step:
    """Learns one mini-batch after the other.

    Parameters
    ----------
    blocks
        Hold the mini-batch as it was predicted.
    capture
        Makes one launch of work whose shapes and places are fixed.
    """

    def __init__(self, blocks: Blocks, capture: Capture) -> None:
        self._blocks = blocks
        self._network = blocks.network
        self._drops = blocks.network.settings.dropout > 0
        self._capture = capture
        self._work: tuple[Pass, Work] | None = None

    def learn(self, state: State) -> None:
        """Learn from the full mini-batch, all of whose events were predicted (`predict_before_learn`).

        1. Refuse a mini-batch that would overflow the statistics.
        2. Make room for its classes.
        3. Make one step, which the device refuses where it is not finite.
        4. Merge its rows into the statistics, and begin the next one.

        Raises
        ------
        LearnerOutOfMemory
            The device has no room for the gradient of a single event.
        """
        batch, task = state.batch, self._blocks.head.task
        assert batch.room == 0, "a step is made of a full mini-batch"

        # Step 1.
        statistics = state.statistics.merged(batch.numeric_BF)
        target_statistics = state.target_statistics
        if task == "regression":
            target_statistics = target_statistics.merged(batch.target_B[:, np.newaxis])
        if statistics.finite and target_statistics.finite:
            if state.statistics.count == 0:
                # Nothing was predicted by the statistics of no events, so the first step need not see them.
                state.statistics, state.target_statistics = statistics, target_statistics

            # Step 2.
            if task != "regression":
                self._know(state, classes_known(state.known_C, batch.target_B))

            # Step 3.
            if not self._whole(state):
                self._in_parts(state)

            # Step 4.
            state.statistics, state.target_statistics = statistics, target_statistics
        else:
            self._network.optimizer.refused += 1
        batch.clear()
        self._blocks.next_batch()
        state.batches_completed += 1

    def _know(self, state: State, known_C: Bool_C) -> None:
        if known_C is state.known_C:
            return
        state.known_C = known_C
        self._blocks.head.know(known_C)
        if self._blocks.head.task == "multiclass":
            self._network.grow(len(known_C))

    def _whole(self, state: State) -> bool:
        """Make the step at once; ``False``: there is no room for it, and nothing was changed."""
        batch, blocks = state.batch, self._blocks
        try:
            # With dropout the step has a forward pass of its own.
            blocks.complete(state.statistics, batch.inputs, run=not self._drops)
            whole = blocks.batch_pass()
            self._put_targets(whole, state, slice(None))
            self._draw(whole, state.batches_completed, 0)
            if self._work is None or self._work[0] is not whole:
                self._work = whole, self._capture(lambda: self._learn(whole), self._network.device)
            self._work[1]()
        except torch.OutOfMemoryError:
            return False
        return True

    def _in_parts(self, state: State) -> None:
        self._work = None
        gradient = in_parts(len(state.batch.target_B), partial(self._gradient_of, state))
        if gradient is None:
            raise out_of_memory(self._network.settings.name, "a single event's gradient does not fit")
        self._network.gradient.copy_(gradient[0])
        self._network.step(gradient[1])

    def _learn(self, whole: Pass) -> None:
        if self._drops:
            whole.forward(slice(whole.rows), dropped=True)
        self._network.step(whole.backward())

    def _gradient_of(self, state: State, rows: slice) -> Gradient:
        """Return gradient and loss of the mean over these rows of the mini-batch. Raises torch.OutOfMemoryError."""
        inputs = state.batch.inputs.at(rows)
        part = Pass(self._network, self._blocks.head, len(inputs))
        put(part, state.statistics, inputs, 0)
        self._put_targets(part, state, rows)
        # Parts draw other dropouts than the whole: which, their rows decide.
        self._draw(part, state.batches_completed, rows.start)
        part.forward(slice(part.rows), dropped=self._drops)
        loss = part.backward()
        return self._network.gradient, loss

    def _put_targets(self, matrix: Pass, state: State, rows: slice) -> None:
        with staged(matrix.target_B) as target_B:
            target_B[...] = self._blocks.head.targets(state.batch.target_B[rows], state.target_statistics)

    def _draw(self, matrix: Pass, number: int, row: int) -> None:
        dropout = self._network.dropout_of_step(number, row)
        if dropout is not None:
            matrix.draw(dropout)
