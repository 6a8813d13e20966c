"""What the network's outputs mean for each task: the loss that it learns by, and the predictions that it makes.

A class that has an output but that no completed mini-batch has held takes no part: its logit is minus
infinity, in the loss as in the shares, so the shares of the classes that are known sum to 1.

Upholds `replay_equals_run`: what is not exact (exponentials, sums) runs on whole blocks, whose shape and
rows are fixed (see ``torch_pass``); what runs on parts of a block is exact, element by element.

Shape letters: B events, O outputs, C classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streamlearn.config import Task
from streamlearn.events import Code_B, Examples, Float_B, Float_BC, Predictions
from streamlearn.learners.torch_inputs import Place, Statistics

Bool_C = npt.NDArray[np.bool_]


class Said(NamedTuple):
    """What the network said of the events at ``place``, on the host or on its way there."""

    place: Place
    version: int  # events that it had learned
    answers: list[Tensor]  # answer_BO of one block after the other; none: it said nothing yet
    known_C: Bool_C
    target_statistics: Statistics


def outputs_at_first(task: Task) -> int:
    """Return how many outputs a new network has; only ``multiclass`` adds more.

    >>> outputs_at_first("binary"), outputs_at_first("multiclass")
    (1, 0)
    """
    return 0 if task == "multiclass" else 1


class Head:
    """A task's loss and its answers, on tensors of the device; nothing here waits for it.

    >>> head = Head("multiclass", torch.device("cpu"))
    >>> head.know(np.array([True, False, True]))
    >>> answer_BO = torch.zeros((1, 3), dtype=torch.float64)
    >>> head.answer(torch.tensor([[0.0, 5.0, 0.0]]), answer_BO)
    >>> answer_BO.tolist()
    [[0.5, 0.0, 0.5]]
    """

    def __init__(self, task: Task, device: torch.device) -> None:
        self.task = task
        self.target_dtype = torch.int64 if task == "multiclass" else torch.float32
        self._device = device
        self._unknown_C = torch.zeros(0, dtype=torch.bool, device=device)

    def know(self, known_C: Bool_C) -> None:
        """Take these classes as known; in place where there are as many as before (`captured` passes read it)."""
        unknown_C = torch.from_numpy(~known_C)
        if len(unknown_C) == len(self._unknown_C):
            self._unknown_C.copy_(unknown_C)
        else:
            self._unknown_C = unknown_C.to(self._device, copy=True)

    def targets(self, target_B: Float_B, statistics: Statistics) -> npt.NDArray[np.generic]:
        """Return what ``slope`` takes of class indices, or of values in the target's unit; on the host.

        ``statistics`` are the target's; regression only.
        """
        if self.task == "multiclass":
            return target_B.astype(np.int64)
        if self.task == "binary":
            return target_B.astype(np.float32)
        standardized_B1 = np.empty((len(target_B), 1), np.float32)
        statistics.standardize(target_B[:, np.newaxis], standardized_B1)
        return standardized_B1[:, 0]

    def answer(self, outputs_BO: Tensor, answer_BO: Tensor) -> None:
        """Write the second class's share, all classes' shares, or a standardized value; float64."""
        answer_BO.copy_(outputs_BO)
        match self.task:
            case "binary":
                answer_BO.sigmoid_()
            case "multiclass":
                answer_BO.copy_(torch.softmax(answer_BO.masked_fill_(self._unknown_C, -torch.inf), 1))
            case _:
                pass

    def slope(self, outputs_BO: Tensor, target_B: Tensor, slope_BO: Tensor) -> Tensor:
        """Return the mean loss, and write its derivative by the outputs.

        The loss is the log loss, or the squared error of the standardized target.
        """
        rows = len(outputs_BO)
        match self.task:
            case "binary":
                torch.sigmoid(outputs_BO, out=slope_BO)
                slope_BO.sub_(target_B.unsqueeze(1)).div_(rows)
                return functional.binary_cross_entropy_with_logits(outputs_BO.squeeze(1), target_B)
            case "multiclass":
                log_share_BO = functional.log_softmax(outputs_BO.masked_fill(self._unknown_C, -torch.inf), 1)
                torch.exp(log_share_BO, out=slope_BO)
                own_B1 = target_B.unsqueeze(1)
                slope_BO.scatter_(1, own_B1, slope_BO.gather(1, own_B1).sub_(1.0)).div_(rows)
                return functional.nll_loss(log_share_BO, target_B)
            case _:
                torch.sub(outputs_BO, target_B.unsqueeze(1), out=slope_BO)
                loss = slope_BO.square().mean()
                slope_BO.mul_(2.0 / rows)
                return loss


def classes_known(known_C: Bool_C, target_B: Float_B) -> Bool_C:
    """Return the known classes with those of these targets; the array that was given is not written to.

    >>> classes_known(np.array([True, False]), np.array([0.0, 3.0])).tolist()
    [True, False, False, True]
    """
    if known_C.all() and target_B.max() < len(known_C):
        return known_C
    class_B = target_B.astype(np.int64)
    more_C = np.zeros(max(len(known_C), int(class_B.max()) + 1), np.bool_)
    more_C[: len(known_C)] = known_C
    more_C[class_B] = True
    return more_C


def predictions(task: Task, examples: Examples, everything_said: list[Said]) -> Predictions:
    """Put all that was said of a batch in its place; its answers have arrived."""
    version_B = np.zeros(len(examples), np.int64)
    width = 1 if task == "regression" else len(examples.classes)
    answer_BC = np.full((len(examples), width), np.nan)
    for said in everything_said:
        version_B[said.place] = said.version
        if not said.answers:
            continue
        answer_BO = (said.answers[0] if len(said.answers) == 1 else torch.cat(said.answers)).numpy()
        if task == "regression":
            answer_BC[said.place, 0] = _values(answer_BO[:, 0], said.target_statistics)
        elif task == "binary" and said.known_C.all():
            answer_BC[said.place, 0] = 1.0 - answer_BO[:, 0]
            answer_BC[said.place, 1] = answer_BO[:, 0]
        elif task == "binary":
            answer_BC[said.place, int(said.known_C[1])] = 1.0  # the one class that it knows
        else:
            # What is known was in some batch's classes, and those are append-only.
            for c in np.flatnonzero(said.known_C):
                answer_BC[said.place, c] = answer_BO[:, c]
    if task == "regression":
        return Predictions(version_B, value_B=answer_BC[:, 0])
    return Predictions(version_B, _likeliest(answer_BC), answer_BC)


def _likeliest(share_BC: Float_BC) -> Code_B:
    """Return the class of the largest share, the first where they are equal; -1 where there is none."""
    if share_BC.shape[1] == 0:
        return np.full(len(share_BC), -1, np.int32)
    # NaN compares with nothing, so it is replaced by what any share is above.
    share_BC = np.where(np.isnan(share_BC), -1.0, share_BC)
    if share_BC.shape[1] == 2:
        class_B = (share_BC[:, 1] > share_BC[:, 0]).astype(np.int32)
    else:
        class_B = share_BC.argmax(axis=1).astype(np.int32)
    class_B[share_BC.max(axis=1) < 0] = -1
    return class_B


def _values(standardized_B: Float_B, statistics: Statistics) -> Float_B:
    with np.errstate(over="ignore", invalid="ignore"):
        value_B = standardized_B * statistics.deviation_F + statistics.mean_F
    return np.where(np.isfinite(value_B), value_B, np.nan)
