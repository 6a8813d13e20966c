"""A forward and a backward pass over rows whose number and places in memory are fixed.

Upholds `replay_equals_run` on the CPU: BLAS may round a row otherwise in a matrix of another height, in
another row, or at another alignment. So rows stand in buffers that torch allocated (at multiples of 64 bytes),
each in the row that the caller gives it, and a matrix product runs on a block of rows that the caller cuts
in one way always. What the other rows of the block hold does not show: each row of a product is its own.

The backward pass is written out, since a perceptron's is short: it reads the activations that the forward pass
left, so what was predicted is learned from without being run again; it makes no graph; and it writes the
gradient where the optimizer reads it. An eager autograd step of the same network takes half as long again.

Nothing here waits for the device, asks it for anything, or depends on a number of the host that may change:
so all of it can be captured in a CUDA graph.

Shape letters: B events, N numeric network inputs, K categorical features, H units, O outputs.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from streamlearn.learners.torch_mlp import Network
from streamlearn.learners.torch_tasks import Head

# The derivative of max(0, x) where only max(0, x) is known: the slope, or 0 where that is 0.
_masked: Any = torch.ops.aten.threshold_backward.grad_input

# Sums the slopes of each row of the table in the order of the events; what autograd calls for an embedding.
_embedding_gradient: Any = torch.ops.aten.embedding_dense_backward


class Pass:
    """Buffers for so many rows, and the network's passes over them.

    Parameters
    ----------
    network
        Whose weights are read, and whose ``gradients`` ``backward`` writes.
    head
        What the outputs mean.
    rows
        Height of the buffers.

    Raises
    ------
    torch.OutOfMemoryError
        The device has no room for them.

    >>> from streamlearn.config import TorchModel
    >>> settings = TorchModel(name="mlp", learner="torch", hidden=(4,))
    >>> network = Network(settings, 2, 0, 1, seed=0, device=torch.device("cpu"))
    >>> both = Pass(network, Head("binary", network.device), 8)
    >>> both.forward(slice(0, 8))
    >>> loss = both.backward()
    >>> tuple(both.answer_BO.shape), tuple(network.gradients["hidden.0.weight"].shape), round(loss.item(), 1)
    ((8, 1), (4, 2), 0.5)
    """

    def __init__(self, network: Network, head: Head, rows: int) -> None:
        self.network = network
        self.head = head
        self.rows = rows
        self._dropped = network.settings.dropout > 0
        device, table = network.device, network.parameters.get("embedding")
        numeric = network.numeric_width
        self.numeric_BN = torch.zeros((rows, numeric), device=device)
        self.bucket_BK = torch.zeros((rows, network.categorical), dtype=torch.int64, device=device)
        self.target_B = torch.zeros(rows, dtype=head.target_dtype, device=device)
        self._joined_BN = (
            self.numeric_BN if table is None else torch.zeros((rows, network.input_width), device=device)
        )
        # bfloat16 has an exponent as wide as float32's, so nothing has to be scaled.
        kind = torch.bfloat16 if network.is_bfloat16 else torch.float32
        units = network.settings.hidden
        self._hidden = [torch.zeros((rows, width), dtype=kind, device=device) for width in units]
        self._slopes = [torch.zeros((rows, width), dtype=kind, device=device) for width in units]
        self._keep = [
            torch.zeros((rows, width), dtype=kind, device=device) for width in units * self._dropped
        ]
        self.outputs_BO = torch.zeros((rows, network.outputs), device=device)
        self.answer_BO = torch.zeros((rows, network.outputs), dtype=torch.float64, device=device)
        self._slope_BO = torch.zeros_like(self.outputs_BO)

    @torch.no_grad()
    def forward(self, rows: slice, *, dropped: bool = False) -> None:
        """Run these rows of the inputs; their outputs, and answers where nothing is dropped, are then there.

        Parameters
        ----------
        dropped
            Hidden units are dropped, as ``draw`` has drawn.
        """
        network, x_BN = self.network, self._joined_BN[rows]
        with self._autocast():
            table = network.parameters.get("embedding")
            if table is not None:
                embedded_BN = functional.embedding(self.bucket_BK[rows], table).flatten(1)
                torch.cat((self.numeric_BN[rows], embedded_BN), 1, out=x_BN)
            for number, ((weight, bias), hidden_BH) in enumerate(
                zip(network.hidden, self._hidden, strict=True)
            ):
                h_BH = hidden_BH[rows]
                self._linear(x_BN, weight, bias, h_BH)
                h_BH.relu_()
                if dropped:
                    h_BH.mul_(self._keep[number][rows])
                x_BN = h_BH
            self._linear(x_BN, *network.output, self.outputs_BO[rows])
        if not dropped:
            self.head.answer(self.outputs_BO[rows], self.answer_BO[rows])

    @torch.no_grad()
    def backward(self) -> Tensor:
        """Return the mean loss of all rows, and put its gradient into the network's ``gradients``."""
        network, gradients = self.network, self.network.gradients
        loss = self.head.slope(self.outputs_BO, self.target_B, self._slope_BO)
        layers = [*network.hidden, network.output]
        names = [*(f"hidden.{number}" for number in range(len(network.hidden))), "output"]
        slope_BO = self._slope_BO
        with self._autocast():
            for number in reversed(range(len(layers))):
                input_BH = self._hidden[number - 1] if number else self._joined_BN
                weight = layers[number][0]
                self._product(slope_BO.t(), input_BH, gradients[f"{names[number]}.weight"])
                torch.sum(slope_BO, 0, dtype=torch.float32, out=gradients[f"{names[number]}.bias"])
                if number:
                    below_BH = self._slopes[number - 1]
                    self._product(slope_BO, weight, below_BH)
                    # A unit that was dropped is 0 as well.
                    _masked(below_BH, input_BH, 0, grad_input=below_BH)
                    if self._dropped:
                        below_BH.mul_(1.0 / (1.0 - network.settings.dropout))
                    slope_BO = below_BH
                elif "embedding" in gradients:
                    self._embedding_backward(slope_BO, weight[:, network.numeric_width :])
        return loss

    def draw(self, generator: torch.Generator) -> None:
        """Draw the hidden units that are dropped in the next step; the others are scaled up."""
        keep = 1.0 - self.network.settings.dropout
        for keep_BH in self._keep:
            keep_BH.bernoulli_(keep, generator=generator).div_(keep)

    def _embedding_backward(self, slope_BH: Tensor, weight: Tensor) -> None:
        network, table = self.network, self.network.gradients["embedding"]
        slope_BKW = torch.mm(slope_BH, weight).float()
        slope_BKW = slope_BKW.view(self.rows, network.categorical, network.settings.embedding_width)
        table.copy_(_embedding_gradient(slope_BKW, self.bucket_BK, len(table), -1, False))

    def _autocast(self) -> AbstractContextManager[None]:
        if not self.network.is_bfloat16:
            return nullcontext()
        # The cache keeps casts of weights from one use to the next, and weights change in place.
        return torch.autocast(self.network.device.type, torch.bfloat16, cache_enabled=False)

    def _linear(self, x_BH: Tensor, weight: Tensor, bias: Tensor, out_BH: Tensor) -> None:
        if self.network.is_bfloat16:  # autocast knows no products that write into a buffer
            out_BH.copy_(functional.linear(x_BH, weight, bias))
        else:
            torch.addmm(bias, x_BH, weight.t(), out=out_BH)

    def _product(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        if self.network.is_bfloat16:
            out.copy_(torch.mm(left, right))
        else:
            torch.mm(left, right, out=out)
