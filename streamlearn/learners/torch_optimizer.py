"""One optimizer step on all weights at once, clipped, and refused where it is not finite.

Weights, gradients and moments are one flat tensor each, so a step is one kernel however many layers
there are. The step is that of ``torch.optim``'s functional interface, whose fused kernels take
``grad_scale`` (gradients are divided by it: here the clip) and ``found_inf`` (where it is 1 nothing is
changed, not even the count of steps). So a step is refused on the device, and the host need not wait
to know.
"""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from streamlearn.config import TorchModel

# The defaults of torch.optim.Adam and AdamW.
BETA_FIRST, BETA_SECOND, EPSILON = 0.9, 0.999, 1e-8

# Keeps the division of the clip finite; the value of torch.nn.utils.clip_grad_norm_.
NORM_FLOOR = 1e-6


class Optimizer:
    """Adam, AdamW or plain SGD, as the config says.

    ``moments`` has the shape of the weights, by name; ``steps`` counts the steps that were made, ``refused``
    those that were not. Both are on the device: to read them is a sync on cuda.

    >>> settings = TorchModel(name="mlp", learner="torch", optimizer="sgd", learning_rate=0.5)
    >>> weights, cpu = torch.tensor([1.0, 1.0]), torch.device("cpu")
    >>> optimizer = Optimizer(settings, 2, cpu)
    >>> loss = torch.tensor(0.0)
    >>> optimizer.step(weights, torch.tensor([3.0, 4.0]), loss)
    >>> optimizer.refused.item(), weights.round(decimals=5).tolist()
    (0, [0.699999988079071, 0.6000000238418579])
    >>> optimizer.step(weights, torch.tensor([torch.nan, 4.0]), loss)
    >>> optimizer.refused.item(), weights.round(decimals=5).tolist()
    (1, [0.699999988079071, 0.6000000238418579])
    """

    def __init__(self, settings: TorchModel, size: int, device: torch.device) -> None:
        self._settings = settings
        names = () if settings.optimizer == "sgd" else ("exp_avg", "exp_avg_sq")
        self.moments = {name: torch.zeros(size, device=device) for name in names}
        self.steps = torch.zeros((), device=device)
        self.refused = torch.zeros((), dtype=torch.int64, device=device)

    @torch.no_grad()
    def step(self, weights: Tensor, gradient: Tensor, loss: Tensor) -> None:
        """Change the weights in place, unless the loss or the gradient's norm is not finite; without a sync.

        The gradient is scaled in place as well.
        """
        settings = self._settings
        norm = torch.linalg.vector_norm(gradient)
        scale = ((norm + NORM_FLOOR) / settings.gradient_norm_max).clamp_(min=1.0)
        # 0 times what is not finite is NaN, which equals nothing.
        is_refused = ((norm + loss) * 0.0).ne(0.0)
        self.refused.add_(is_refused)
        refused = is_refused.to(torch.float32)
        match settings.optimizer:
            case "adam" | "adamw" as kind:
                (adam if kind == "adam" else adamw)(
                    [weights],
                    [gradient],
                    [self.moments["exp_avg"]],
                    [self.moments["exp_avg_sq"]],
                    [],
                    [self.steps],
                    fused=True,
                    grad_scale=scale,
                    found_inf=refused,
                    amsgrad=False,
                    beta1=BETA_FIRST,
                    beta2=BETA_SECOND,
                    lr=settings.learning_rate,
                    weight_decay=settings.weight_decay,
                    eps=EPSILON,
                    maximize=False,
                )
            case "sgd":
                sgd(
                    [weights],
                    [gradient],
                    [None],
                    fused=True,
                    grad_scale=scale,
                    found_inf=refused,
                    weight_decay=settings.weight_decay,
                    momentum=0.0,
                    lr=settings.learning_rate,
                    dampening=0.0,
                    nesterov=False,
                    maximize=False,
                )
            case _:
                assert_never(settings.optimizer)
