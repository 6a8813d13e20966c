"""Runs the network on blocks of rows whose shapes and places are fixed.

Upholds `replay_equals_run` on the CPU: matrix products run on blocks alone. Block number n of a matrix
holds its rows n * block_events and on; a row stands where its number says, however few of the block's
rows are asked for, and the others are zeros. Blocks lie in memory that torch allocated, at multiples of 64 bytes,
so an event meets the same instructions whatever the call that brought it.

Shape letters: B events, N numeric network inputs, K categorical features, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from streamlearn.config import TorchModel
from streamlearn.errors import LearnerError
from streamlearn.learners.torch_inputs import Inputs, Statistics
from streamlearn.learners.torch_memory import in_halves
from streamlearn.learners.torch_mlp import Network

# A call for a single event pays for a whole block. With 20 features and hidden (128, 64) on one core, 256 rows
# take 0.07 ms; in blocks of 512 a single event costs half as much again, and full polls gain nothing that shows.
BLOCK_EVENTS_CPU = 256

# On cuda the launch of a kernel costs as much as the work on thousands of rows.
BLOCK_EVENTS_CUDA = 8192


class Blocks:
    """Turns inputs into tensors, block by block.

    Parameters
    ----------
    device
        Where the network is; decides the height of a block.
    numeric, missing, categorical
        Numeric features, their missing indicators (0: none), categorical features.
    """

    def __init__(self, device: torch.device, numeric: int, missing: int, categorical: int) -> None:
        self.device = device
        self.block_events = BLOCK_EVENTS_CUDA if device.type == "cuda" else BLOCK_EVENTS_CPU
        self._numeric = numeric
        self._missing = missing
        self._categorical = categorical
        self._pinned = device.type == "cuda"
        self._no_bucket_BK = torch.zeros((0, 0), dtype=torch.int64, device=device)

    def run(
        self,
        network: Network,
        statistics: Statistics,
        inputs: Inputs,
        row: int,
        height: int | None,
        kept: list[Tensor] | None = None,
    ) -> Iterator[tuple[Tensor, slice]]:
        """Run events that stand at ``row`` and on; yield each block's outputs_BO, and which rows are theirs.

        Parameters
        ----------
        height
            Rows of the matrix in which they stand; None: without end.
        kept
            Where given, these events fill the matrix, a step from these outputs follows, and they
            are put there with the graph that it needs; none where the device has no room for it.
        """
        stop = row + len(inputs)
        assert height is None or stop <= height, "events stand within their mini-batch"
        first, past = row // self.block_events, -(-stop // self.block_events)
        base, end = first * self.block_events, past * self.block_events
        end = end if height is None else min(end, height)
        numeric_BN, bucket_BK = self._tensors(statistics, inputs, row - base, end - base)
        for block in range(first, past):
            start, rows = self._span(block, end)
            wanted = slice(max(row, start) - start, min(stop, start + rows) - start)
            numeric, bucket = numeric_BN[start - base :][:rows], bucket_BK[start - base :][:rows]
            outputs_BO: Tensor | None = None
            if kept is not None:
                assert wanted == slice(0, rows), "a step is made of whole blocks"
                outputs_BO = _with_graph(network, numeric, bucket)
                if outputs_BO is None:
                    kept.clear()  # the step runs them itself, in parts
                    kept = None
                else:
                    kept.append(outputs_BO)
            if outputs_BO is None:
                with torch.inference_mode():
                    outputs_BO = in_halves(network.forward, numeric, bucket)
            yield outputs_BO, wanted

    def run_whole(
        self, network: Network, statistics: Statistics, inputs: Inputs, dropout: torch.Generator | None
    ) -> list[Tensor]:
        """Run a full mini-batch for a step: the blocks' outputs_BO with their graphs, as ``run`` keeps them.

        A gradient sums over blocks in the order in which they ran; here as there it is theirs.
        """
        height = len(inputs)
        numeric_BN, bucket_BK = self._tensors(statistics, inputs, 0, height)
        outputs = []
        for block in range(-(-height // self.block_events)):
            start, rows = self._span(block, height)
            span = slice(start, start + rows)
            outputs.append(network.forward(numeric_BN[span], bucket_BK[span], dropout))
        return outputs

    def _span(self, block: int, end: int) -> tuple[int, int]:
        start = block * self.block_events
        return start, min(self.block_events, end - start)

    def _tensors(self, statistics: Statistics, inputs: Inputs, lead: int, rows: int) -> tuple[Tensor, Tensor]:
        """Return network inputs with these events at row ``lead`` and on, and zeros around them."""
        numeric_BN = torch.zeros((rows, self._numeric + self._missing), pin_memory=self._pinned)
        place, view_BN = slice(lead, lead + len(inputs)), numeric_BN.numpy()
        statistics.standardize(inputs.numeric_BF, view_BN[place, : self._numeric])
        if self._missing:
            view_BN[place, self._numeric :] = inputs.missing_BF
        bucket_BK = self._no_bucket_BK
        if self._categorical:
            bucket_BK = torch.zeros((rows, self._categorical), dtype=torch.int64, pin_memory=self._pinned)
            bucket_BK.numpy()[place] = inputs.bucket_BK
        return (
            numeric_BN.to(self.device, non_blocking=True),
            bucket_BK.to(self.device, non_blocking=True),
        )


def _with_graph(network: Network, numeric_BN: Tensor, bucket_BK: Tensor) -> Tensor | None:
    """Return outputs with what a gradient needs; ``None``: there is no room for it."""
    try:
        return network.forward(numeric_BN, bucket_BK)
    except torch.OutOfMemoryError:
        return None


def device_of(settings: TorchModel) -> torch.device:
    """Return the device that the config asks for; raises LearnerError where torch does not see it."""
    if settings.device == "cpu":
        return torch.device("cpu")
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise LearnerError(
            f"model {settings.name!r} asks for device 'cuda', and torch sees none here",
            remedy='set device = "auto" or "cpu", or find the cause with `python -m torch.utils.collect_env`',
        )
    return torch.device("cuda" if available else "cpu")
