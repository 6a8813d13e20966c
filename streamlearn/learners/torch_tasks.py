"""What the network's outputs mean for each task: the loss that it learns by, and the predictions that it makes.

A class that has an output but that no completed mini-batch has held takes no part: its logit is minus
infinity, in the loss as in the shares, so the shares of the classes that are known sum to 1.

Upholds `replay_equals_run`: what is not exact (exponentials, sums) runs on whole blocks, whose shape and
rows are fixed (see ``torch_network``); what runs on parts of a block is exact, element by element.

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
    """What the network said of the events at ``place``, still on the device."""

    place: Place
    version: int  # events that it had learned
    answer_BO: Tensor | None  # of ``answer``; None: nothing yet
    known_C: Bool_C
    target_statistics: Statistics


def outputs_at_first(task: Task) -> int:
    """Return how many outputs a new network has; only ``multiclass`` adds more.

    >>> outputs_at_first("binary"), outputs_at_first("multiclass")
    (1, 0)
    """
    return 0 if task == "multiclass" else 1


def loss(
    task: Task, outputs_BO: Tensor, target_B: Float_B, known_C: Bool_C, statistics: Statistics
) -> Tensor:
    """Return the mean loss: log loss, or the squared error of the standardized target.

    Parameters
    ----------
    outputs_BO
        The network's outputs, with their graph.
    target_B
        Class indices, or values in the target's unit; float64.
    known_C
        Classes that the network knows, those of this mini-batch included.
    statistics
        Of the target; regression only.
    """
    match task:
        case "binary":
            target = _like(outputs_BO, target_B.astype(np.float32))
            return functional.binary_cross_entropy_with_logits(outputs_BO.squeeze(1), target)
        case "multiclass":
            target = _like(outputs_BO, target_B.astype(np.int64))
            return functional.cross_entropy(_known_alone(outputs_BO, known_C), target)
        case _:
            standardized_B1 = np.empty((len(target_B), 1), np.float32)
            statistics.standardize(target_B[:, np.newaxis], standardized_B1)
            return functional.mse_loss(outputs_BO, _like(outputs_BO, standardized_B1))


def answer(task: Task, outputs_BO: Tensor, known_C: Bool_C) -> Tensor:
    """Return, for a whole block, the second class's share, all classes' shares, or a standardized value.

    >>> answer("multiclass", torch.tensor([[0.0, 5.0, 0.0]]), np.array([True, False, True])).tolist()
    [[0.5, 0.0, 0.5]]
    """
    outputs_BO = outputs_BO.detach().double()
    match task:
        case "binary":
            return outputs_BO.sigmoid_()
        case "multiclass":
            return functional.softmax(_known_alone(outputs_BO, known_C), 1)
        case _:
            return outputs_BO


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
    """Put all that was said of a batch in its place. On cuda, waits for the device."""
    version_B = np.zeros(len(examples), np.int64)
    width = 1 if task == "regression" else len(examples.classes)
    answer_BC = np.full((len(examples), width), np.nan)
    for said in everything_said:
        version_B[said.place] = said.version
        if said.answer_BO is None:
            continue
        answer_BO = said.answer_BO.cpu().numpy()  # the first of these is the sync of the call
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


def _like(outputs_BO: Tensor, array: npt.NDArray[np.generic]) -> Tensor:
    # A copy into torch's own memory, whose alignment is part of the result.
    tensor = torch.tensor(array, pin_memory=outputs_BO.is_cuda)
    return tensor.to(outputs_BO.device, non_blocking=True)


def _known_alone(logits_BC: Tensor, known_C: Bool_C) -> Tensor:
    if known_C.all():
        return logits_BC
    return logits_BC.masked_fill(torch.from_numpy(~known_C).to(logits_BC.device), -torch.inf)


def _values(standardized_B: Float_B, statistics: Statistics) -> Float_B:
    with np.errstate(over="ignore", invalid="ignore"):
        value_B = standardized_B * statistics.deviation_F + statistics.mean_F
    return np.where(np.isfinite(value_B), value_B, np.nan)
