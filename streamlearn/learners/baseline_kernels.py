"""What each baseline says of a batch, compiled: every event from the labels before it, which it then learns.

Upholds `predict_before_learn` (a row is written before its label is taken in) and `replay_equals_run` (labels are taken
one after the other; all that is carried stands in ``state`` and in the count of labels).

Every kernel takes the labels of B events, ``learning_B`` (whether a label is there to be learned), how many labels
were learned before, and the baseline's ``state``, which it changes. It writes ``version_B`` and what is said of
each event, and returns how many labels were learned by then.

Shape letters: B events of a batch, C classes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Code_B, Float_B, Float_BC, Int_B
from streamlearn.native import kernel


@kernel
def majority(
    target_B: Code_B,
    learning_B: Bool_B,
    learned: int,
    state_C: npt.NDArray[np.int64],
    version_B: Int_B,
    class_B: Code_B,
    share_BC: Float_BC,
) -> int:
    """Say the most frequent class; of equals the one of lowest index. ``state_C``: how often each was."""
    most = -1
    for index in range(len(state_C)):
        if state_C[index] > (0 if most < 0 else state_C[most]):
            most = index
    for row in range(len(version_B)):
        version_B[row] = learned
        class_B[row] = most
        for index in range(share_BC.shape[1]):
            count = state_C[index]
            share_BC[row, index] = count / learned if count else math.nan
        if learning_B[row]:
            learned += 1
            label = target_B[row]
            state_C[label] += 1
            ahead = -1 if most < 0 else state_C[label] - state_C[most]
            if most < 0 or ahead > 0 or (ahead == 0 and label < most):
                most = label
    return learned


@kernel
def last_class(
    target_B: Code_B,
    learning_B: Bool_B,
    learned: int,
    state: Float_B,
    version_B: Int_B,
    class_B: Code_B,
    share_BC: Float_BC,
) -> int:
    """Say the last class again. ``state``: its index, where there is one."""
    last = int(state[0]) if learned else -1
    for row in range(len(version_B)):
        version_B[row] = learned
        class_B[row] = last
        share_BC[row] = math.nan
        if last >= 0:
            share_BC[row, last] = 1.0
        if learning_B[row]:
            learned += 1
            last = target_B[row]
    state[0] = last
    return learned


@kernel
def last_value(
    target_B: Float_B,
    learning_B: Bool_B,
    learned: int,
    state: Float_B,
    version_B: Int_B,
    value_B: Float_B,
) -> int:
    """Say the last target again; NaN where there is none. ``state``: that target."""
    last = state[0] if learned else math.nan
    for row in range(len(version_B)):
        version_B[row] = learned
        value_B[row] = last
        if learning_B[row]:
            learned += 1
            last = target_B[row]
    state[0] = last
    return learned


@kernel
def running_mean(
    target_B: Float_B,
    learning_B: Bool_B,
    learned: int,
    state: Float_B,
    version_B: Int_B,
    value_B: Float_B,
) -> int:
    """Say the mean of the targets; NaN before any. ``state``: their sum."""
    total = state[0]
    for row in range(len(version_B)):
        version_B[row] = learned
        value_B[row] = total / learned if learned else math.nan
        if learning_B[row]:
            learned += 1
            total += target_B[row]
    state[0] = total
    return learned


@kernel
def prior(
    target_B: Code_B,
    learning_B: Bool_B,
    learned: int,
    state: Float_B,
    version_B: Int_B,
    value_B: Float_B,
) -> int:
    """Say the share of class 1; 0 before any label. ``state``: how often it was."""
    positive = state[0]
    for row in range(len(version_B)):
        version_B[row] = learned
        value_B[row] = positive / max(learned, 1)
        if learning_B[row]:
            learned += 1
            positive += 1.0 if target_B[row] == 1 else 0.0
    state[0] = positive
    return learned
