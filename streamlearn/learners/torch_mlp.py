"""A multilayer perceptron: its weights, their gradient, its step, and room for more classes.

Upholds `replay_equals_run`: every random number comes from a generator seeded with (seed, model, purpose,
number), where the number is a count that the learner's state carries. So no generator has a state of
its own to save, a network starts with the same weights on every device, and torch's global generator
is neither read nor moved.

All weights lie in one flat tensor, which the optimizer moves; the parameters of the layers are views of
it, and so are their gradients of another. ``torch_pass`` runs the layers. Outputs are append-only, and
optimizer state grows with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import torch
from torch import Tensor

from streamlearn.config import TorchModel
from streamlearn.learners.torch_optimizer import Optimizer

# A category that is new starts near zero beside standardized inputs.
EMBEDDING_SPREAD = 0.05

CPU = torch.device("cpu")


def seeded(seed: int, model: str, purpose: str, number: int, device: torch.device) -> torch.Generator:
    """Return a generator for one purpose; equal arguments draw equal numbers, in any process.

    >>> draws = [torch.rand(1, generator=seeded(0, "mlp", "dropout", n, CPU)).item() for n in (1, 1, 2)]
    >>> draws[0] == draws[1] != draws[2]
    True
    """
    text = f"{seed}:{len(model)}:{model}:{purpose}:{number}".encode()
    # manual_seed takes 64 bits; one is left for the sign.
    drawn = int.from_bytes(blake2b(text, digest_size=8).digest(), "little") >> 1
    return torch.Generator(device).manual_seed(drawn)


def is_bfloat16(settings: TorchModel, device: torch.device) -> bool:
    """Return whether matrix products take bfloat16; ``auto``: on a cuda device that multiplies it natively.

    >>> is_bfloat16(TorchModel(name="mlp", learner="torch"), CPU)
    False
    """
    if settings.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return settings.precision == "bfloat16"


class Network:
    """Embeddings, hidden layers with ReLU, one linear output layer; float32.

    Parameters
    ----------
    settings
        Widths, dropout and optimizer.
    numeric_width
        Columns of the numeric input.
    categorical
        Categorical features; each has ``settings.embedding_buckets`` rows of one embedding table.
    outputs
        Outputs at first; 0 is allowed, ``grow`` adds them.
    seed
        Seed of the shard.
    device
        Where the weights live.

    >>> settings = TorchModel(name="mlp", learner="torch", hidden=(4,))
    >>> network = Network(settings, 2, 0, 1, seed=0, device=CPU)
    >>> network.grow(3)
    >>> {name: tuple(parameter.shape) for name, parameter in network.parameters.items()}
    {'hidden.0.weight': (4, 2), 'hidden.0.bias': (4,), 'output.weight': (3, 4), 'output.bias': (3,)}
    """

    def __init__(
        self,
        settings: TorchModel,
        numeric_width: int,
        categorical: int,
        outputs: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.device = device
        self.is_bfloat16 = is_bfloat16(settings, device)
        self.numeric_width = numeric_width
        self.categorical = categorical
        self.input_width = numeric_width + categorical * settings.embedding_width
        self.outputs = 0
        self._seed = seed
        self._table_rows = categorical * settings.embedding_buckets
        # Drawn on the CPU always, so that it is the same network on every device.
        generator = self._generator("weights", 0, CPU)
        drawn = [
            _uniform(shape, EMBEDDING_SPREAD if name == "embedding" else fan_in**-0.5, generator).flatten()
            for name, (shape, fan_in) in self._shapes(0).items()
        ]
        self._settle(torch.cat(drawn).to(device))
        self.optimizer = Optimizer(settings, len(self.weights), device)
        self.grow(outputs)

    def dropout_of_step(self, step: int, row: int = 0) -> torch.Generator | None:
        """Return what draws the dropped units of this step, from this row of its mini-batch on.

        None where the config drops none.
        """
        if self.settings.dropout == 0:
            return None
        purpose = "dropout" if row == 0 else f"dropout from row {row}"
        return self._generator(purpose, step, self.device)

    def step(self, loss: Tensor) -> None:
        """Make one step down ``gradient``, unless it or the loss is not finite; without a sync."""
        self.optimizer.step(self.weights, self.gradient, loss)

    def grow(self, outputs: int) -> None:
        """Append outputs until there are so many. Those that exist keep weights and optimizer state.

        A new output's first weights depend on its number alone, not on how many came at once.
        """
        added = outputs - self.outputs
        if added <= 0:
            return
        fan_in = self._shapes(0)["output.weight"][1]
        drawn = torch.stack(
            [
                _uniform((fan_in + 1,), fan_in**-0.5, self._generator("output", number, CPU))
                for number in range(self.outputs, outputs)
            ]
        ).to(self.device)
        zeros = torch.zeros_like(drawn)
        moments = {
            name: _with_outputs(moment, self.outputs, zeros)
            for name, moment in self.optimizer.moments.items()
        }
        weights = _with_outputs(self.weights, self.outputs, drawn)
        self.optimizer.moments = moments
        self.outputs = outputs
        self._settle(weights)

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Return views of a flat tensor as the parameters lie in it, by their names."""
        shapes = self.shapes(self.outputs)
        sizes = [torch.Size(shape).numel() for shape in shapes.values()]
        pieces = torch.split(flat, sizes)
        return {name: piece.view(shapes[name]) for name, piece in zip(shapes, pieces, strict=True)}

    def shapes(self, outputs: int) -> dict[str, tuple[int, ...]]:
        """Return the parameters' shapes, had the network so many outputs."""
        return {name: shape for name, (shape, _) in self._shapes(outputs).items()}

    def load(
        self,
        outputs: int,
        weights: Mapping[str, Tensor],
        moments: Mapping[str, Mapping[str, Tensor]],
        steps: Tensor,
    ) -> None:
        """Become a network of these weights and optimizer state, copied; the caller has checked the shapes."""
        self.outputs = outputs
        self._settle(self._flat(weights))
        self.optimizer.moments = {name: self._flat(moment) for name, moment in moments.items()}
        self.optimizer.steps = steps.to(self.device, copy=True)

    def _flat(self, named: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([named[name].flatten() for name in self._shapes(self.outputs)]).to(self.device)

    def _settle(self, weights: Tensor) -> None:
        """Take these as the weights, and look the layers up once, not once a pass."""
        self.weights = weights
        self.gradient = torch.zeros_like(weights)
        self.parameters = self.named(weights)
        self.gradients = self.named(self.gradient)
        self.hidden = [
            (self.parameters[f"hidden.{number}.weight"], self.parameters[f"hidden.{number}.bias"])
            for number in range(len(self.settings.hidden))
        ]
        self.output = (self.parameters["output.weight"], self.parameters["output.bias"])

    def _shapes(self, outputs: int) -> dict[str, tuple[tuple[int, ...], int]]:
        """Return shape and fan-in of each parameter, in the order in which they lie; outputs come last."""
        shapes: dict[str, tuple[tuple[int, ...], int]] = {}
        if self._table_rows:
            shapes["embedding"] = ((self._table_rows, self.settings.embedding_width), 1)
        width = self.input_width
        for number, units in enumerate(self.settings.hidden):
            shapes[f"hidden.{number}.weight"] = ((units, width), width)
            shapes[f"hidden.{number}.bias"] = ((units,), width)
            width = units
        shapes["output.weight"] = ((outputs, width), width)
        shapes["output.bias"] = ((outputs,), width)
        return shapes

    def _generator(self, purpose: str, number: int, device: torch.device) -> torch.Generator:
        return seeded(self._seed, self.settings.name, purpose, number, device)


def _with_outputs(flat: Tensor, outputs: int, added: Tensor) -> Tensor:
    """Return a flat tensor with rows of weights and their biases added; its last ``outputs`` are the biases."""
    weights, biases = flat[: len(flat) - outputs], flat[len(flat) - outputs :]
    return torch.cat((weights, added[:, :-1].flatten(), biases, added[:, -1]))


def _uniform(shape: tuple[int, ...], spread: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).uniform_(-spread, spread, generator=generator)
