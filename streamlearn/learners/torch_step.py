"""One optimizer step from a full mini-batch, whole where it fits the device and else in parts.

The step is launched and not waited for: whether it was refused, the device knows (see ``torch_optimizer``).

Shape letters: B events.
"""

from __future__ import annotations

import torch

from streamlearn.learners.torch_blocks import Blocks, put
from streamlearn.learners.torch_device import Capture, Work, staged
from streamlearn.learners.torch_inputs import MiniBatch, Statistics
from streamlearn.learners.torch_memory import Gradient, in_parts, out_of_memory
from streamlearn.learners.torch_pass import Pass


class Step:
    """Makes steps of one network.

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

    def make(
        self, batch: MiniBatch, statistics: Statistics, target_statistics: Statistics, number: int
    ) -> None:
        """Learn from a full mini-batch; the device refuses the step where it is not finite.

        Parameters
        ----------
        statistics, target_statistics
            By which inputs (as they were predicted) and targets are standardized.
        number
            Of the step: decides which hidden units are dropped.

        Raises
        ------
        LearnerOutOfMemory
            The device has no room for the gradient of a single event.
        """
        assert batch.room == 0, "a step is made of a full mini-batch"
        if self._make_whole(batch, statistics, target_statistics, number):
            return
        self._work = None
        gradient = in_parts(
            len(batch.target_B),
            lambda rows: self._gradient_of(rows, batch, statistics, target_statistics, number),
        )
        if gradient is None:
            raise out_of_memory(self._network.settings.name, "a single event's gradient does not fit")
        self._network.gradient.copy_(gradient[0])
        self._network.step(gradient[1])

    def _make_whole(
        self, batch: MiniBatch, statistics: Statistics, target_statistics: Statistics, number: int
    ) -> bool:
        """Make the step at once; ``False``: there is no room for it, and nothing was changed."""
        try:
            # With dropout the step has a forward pass of its own.
            self._blocks.complete(statistics, batch.inputs, run=not self._drops)
            whole = self._blocks.batch_pass()
            with staged(whole.target_B) as target_B:
                target_B[...] = self._blocks.head.targets(batch.target_B, target_statistics)
            self._draw(whole, number, 0)
            if self._work is None or self._work[0] is not whole:
                self._work = whole, self._capture(lambda: self._learn(whole), self._network.device)
            self._work[1]()
        except torch.OutOfMemoryError:
            return False
        return True

    def _learn(self, whole: Pass) -> None:
        if self._drops:
            whole.forward(slice(whole.rows), dropped=True)
        self._network.step(whole.backward())

    def _draw(self, rows: Pass, number: int, row: int) -> None:
        dropout = self._network.dropout_of_step(number, row)
        if dropout is not None:
            rows.draw(dropout)

    def _gradient_of(
        self,
        rows: slice,
        batch: MiniBatch,
        statistics: Statistics,
        target_statistics: Statistics,
        number: int,
    ) -> Gradient:
        """Return gradient and loss of the mean over these rows of the mini-batch. Raises torch.OutOfMemoryError."""
        inputs, head = batch.inputs.at(rows), self._blocks.head
        part = Pass(self._network, head, len(inputs))
        put(part, statistics, inputs, 0)
        with staged(part.target_B) as target_B:
            target_B[...] = head.targets(batch.target_B[rows], target_statistics)
        # Parts draw other dropouts than the whole: which, their rows decide.
        self._draw(part, number, rows.start)
        part.forward(slice(part.rows), dropped=self._drops)
        loss = part.backward()
        return self._network.gradient, loss
