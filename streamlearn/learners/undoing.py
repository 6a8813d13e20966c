"""The weight of a late label, so that what was learned in its place is undone in expectation.

An event of features x was learned with a default label, since its own had not come. Its own comes and is the other one
of two. Learned once more, with its own label and the weight 1 / P(default | x), examples at x have the shares that
they would have had if every label had come in time; for a model whose loss is the logarithmic one and whose step is a
gradient's, the step is the very one that takes the default's back and learns the label. docs/labels.md has the sums.

Source: Ktena et al. (2019), "Addressing delayed feedback for continuous training with neural networks in CTR
prediction": its fake negatives weighted give a positive (1 + p) and a negative (1 - p)(1 + p). The negative was learned
with 1 here, before anybody knew; so the positive has the quotient of the two.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, Protocol, runtime_checkable

from streamlearn.contracts import Learner
from streamlearn.errors import ConfigError

# A model that was quite sure of the default's contrary would learn it with any weight; what is cut off here is a share
# of the default below a hundredth.
WEIGHT_MAX = 100.0


def weight(share: float | None) -> float:
    """Return the weight of a label that takes the place of one to which the model gives this share now.

    >>> weight(0.25), weight(0.0), weight(None)
    (4.0, 100.0, 1.0)
    """
    if share is None or math.isnan(share):
        return 1.0
    return 1.0 / share if share * WEIGHT_MAX > 1.0 else WEIGHT_MAX


def why_no_weights(model: Any, *, gives_shares: bool) -> str | None:
    """Return why a model with River's interface cannot take a weight; ``None`` where it can.

    One that passes on whatever it is given does not count: nobody knows what becomes of it.

    >>> from river import linear_model
    >>> why_no_weights(linear_model.LogisticRegression(), gives_shares=True)
    >>> why_no_weights(linear_model.PAClassifier(), gives_shares=True)
    'PAClassifier.learn_one takes no weight w'
    """
    if not gives_shares:
        return f"{type(model).__name__} gives no probabilities, from which the weight is taken"
    if "w" not in inspect.signature(model.learn_one).parameters:
        return f"{type(model).__name__}.learn_one takes no weight w"
    return None


@runtime_checkable
class TakesWeights(Protocol):
    """A learner that may be given ``Examples.undone_B``, if its model is one for it."""

    def why_no_weights(self) -> str | None:
        """Return why it may not; ``None``: it may."""
        ...


def check_takes_weights(learner: Learner) -> None:
    """Raise ConfigError where a learner cannot take back what it has learned."""
    why = "it takes none"
    if isinstance(learner, TakesWeights):
        reason = learner.why_no_weights()
        if reason is None:
            return
        why = reason
    raise ConfigError(
        f"model {learner.name!r} (engine {learner.engine!r}) cannot learn with weights, which labels.on_late_label = "
        f'"correct" needs: {why}',
        remedy='set labels.on_late_label = "learn", or wait longer (labels.wait), or use a model that takes weights, '
        "such as linear_model.LogisticRegression or tree.HoeffdingTreeClassifier",
    )
