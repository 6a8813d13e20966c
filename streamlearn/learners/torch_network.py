"""The torch learner: a network that predicts every event at once and learns in counted mini-batches.

Upholds `predict_before_learn` and `replay_equals_run`: how a sequence of events is cut into calls changes
no bit of its predictions or of its state (on the CPU, with a given ``threads``).

- **Steps are counted.** Labelled events fill a mini-batch of ``batch_events`` rows; the event that
  fills it is predicted, then one step is made. Weights, classes and statistics change there only. An
  event is learned when its mini-batch is complete: ``events_learned`` and a prediction's version count
  no event that waits.
- **Rows are counted.** A labelled event stands in the row that it has in its mini-batch; an unlabelled one in a
  block of its own kind, by its count; and the network runs on whole blocks: see ``torch_blocks``.
- **A prediction is the forward pass of the step.** Weights stand still between steps, and a step sees its
  events standardized as they were when they were predicted. So the outputs that were predicted are those that
  are learned from (but for dropout), and predicting costs nothing of its own.
- **A step that does not fit** into the device's memory is made of smaller parts: see ``torch_memory``.
- **A step that is not finite is refused**: weights and optimizer stay as they are, the mini-batch is
  consumed and counted in ``batches_skipped``. So is one whose features would overflow the statistics.

Before the first mini-batch that it learned, the network says nothing (class -1, NaN). After it, it knows
the classes that mini-batches held, and gives shares to these alone.

On cuda the host waits once a call, for the predictions, and not for the steps behind them: see ``torch_device``.

Shape letters: B events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamlearn.config import Task, TorchModel
from streamlearn.contracts import Snapshot
from streamlearn.events import Examples, Predictions
from streamlearn.learners.torch_blocks import Blocks
from streamlearn.learners.torch_device import Behind, Capture, captured, device_of
from streamlearn.learners.torch_inputs import (
    Index_I,
    Inputs,
    MiniBatch,
    Statistics,
    Stretch,
    place_of,
    stretches,
)
from streamlearn.learners.torch_memory import memory_named
from streamlearn.learners.torch_mlp import Network
from streamlearn.learners.torch_state import State, layout_of
from streamlearn.learners.torch_step import Step
from streamlearn.learners.torch_tasks import Head, Said, outputs_at_first, predictions


class TorchLearner:
    """A multilayer perceptron over standardized numeric features and hashed categories.

    Parameters
    ----------
    settings
        The model's section of the config.
    task
        ``binary``, ``multiclass`` or ``regression``.
    numeric
        Names of the numeric features, in the order of ``Features.numeric_BF``.
    categorical
        Names of the categorical features, in the order of ``Features.categorical``.
    seed
        Seed of the shard; models of other names draw other numbers from it.
    capture
        Makes one launch of work whose shapes and places are fixed; tests give another.

    Raises
    ------
    LearnerError
        When ``device = "cuda"`` and torch sees no such device.

    Notes
    -----
    ``threads`` is torch's process-wide setting; each call sees to it that it is this model's own.

    >>> import numpy as np
    >>> from streamlearn.events import Features
    >>> settings = TorchModel(name="mlp", learner="torch", hidden=(8,), batch_events=2, device="cpu")
    >>> learner = TorchLearner(settings, "regression", ("x",), (), seed=0)
    >>> x_BF = np.array([[0.0], [1.0], [2.0]])
    >>> features = Features(("x",), x_BF, np.zeros((3, 1), np.bool_), ())
    >>> said = learner.predict_then_learn(Examples(features, 2 * x_BF[:, 0], np.ones(3, np.bool_), ()))
    >>> said.version_B.tolist(), np.isnan(said.value_B).tolist(), learner.events_learned
    ([0, 0, 2], [True, True, False], 2)
    """

    engine = "torch"

    def __init__(
        self,
        settings: TorchModel,
        task: Task,
        numeric: tuple[str, ...],
        categorical: tuple[str, ...],
        seed: int,
        *,
        capture: Capture = captured,
    ) -> None:
        assert task != "anomaly", "the config refuses a torch model for anomaly"
        self.name = settings.name
        self._settings = settings
        self._task = task
        self._numeric = numeric
        self._categorical = categorical
        self._layout = layout_of(settings, task, numeric, categorical, seed)
        device = device_of(settings)
        missing = len(numeric) if settings.missing_indicator else 0
        self._use_threads()
        network = Network(
            settings, len(numeric) + missing, len(categorical), outputs_at_first(task), seed, device
        )
        self._head = Head(task, device)
        self._blocks = Blocks(network, self._head, settings.batch_events, capture)
        self._step = Step(self._blocks, capture)
        self._state = State(
            network=network,
            statistics=Statistics.none(len(numeric)),
            target_statistics=Statistics.none(1),
            batch=MiniBatch(settings.batch_events, len(numeric), missing, len(categorical)),
            known_C=np.zeros(2 if task == "binary" else 0, np.bool_),
            unlabelled_row=0,
            batches_completed=0,
        )
        self._finite = Behind(late=device.type == "cuda")
        self._looked_at: int | None = None  # the mini-batch after which the weights were last looked at

    @property
    def events_learned(self) -> int:
        """Events of completed mini-batches: they moved the weights, or are counted in ``batches_skipped``."""
        return self._state.batches_completed * self._settings.batch_events

    @property
    def batches_skipped(self) -> int:
        """Completed mini-batches whose step was refused. Costs a sync on cuda."""
        return int(self._state.network.optimizer.refused.item())

    def is_finite(self) -> bool:
        """Return whether the weights are finite. Reads them where a step was made since the last call.

        A step that is not finite is refused, and so is one from weights whose squares leave float32: this
        is the last line, and says no of what a damaged checkpoint brought. On cuda it tells what it read at
        the call before, but for the first since the start or a restore: so nobody waits for the last step.
        """
        if self._looked_at == self._state.batches_completed:
            return self._finite.newest()
        self._looked_at = self._state.batches_completed
        # A sum reads the weights once, and is finite only if they all are.
        return self._finite.read(torch.isfinite(self._state.network.weights.sum()))

    def predict(self, examples: Examples) -> Predictions:
        """Predict as if these events came next, without learning (`reads_are_pure`)."""
        with memory_named(self.name):
            self._use_threads()
            inputs, state, blocks = self._encode(examples), self._state, self._blocks
            everything_said: list[Said] = []
            row, unlabelled_row = state.batch.filled, state.unlabelled_row
            for labelled_I, unlabelled_I, fills in self._stretches(examples):
                everything_said += (
                    self._say(inputs, labelled_I, blocks.loose, row, blocks.batch_events),
                    self._say(inputs, unlabelled_I, blocks.loose, unlabelled_row, None),
                )
                row = 0 if fills else row + len(labelled_I)
                unlabelled_row = (unlabelled_row + len(unlabelled_I)) % blocks.block_events
            blocks.answers.wait()
            return predictions(self._task, examples, everything_said)

    def predict_then_learn(self, examples: Examples) -> Predictions:
        """Predict each event, then learn from the labelled ones, a mini-batch whenever one is full.

        Parameters
        ----------
        examples
            The next events of the shard; inputs are finite.

        Returns
        -------
        Predictions
            Of these events, in their order. The cut into calls does not show in them.

        Raises
        ------
        LearnerOutOfMemory
            The device has no room, not even for the smallest part. The state must not be used.
        """
        with memory_named(self.name):
            self._use_threads()
            inputs, state, blocks = self._encode(examples), self._state, self._blocks
            everything_said: list[Said] = []
            for labelled_I, unlabelled_I, fills in self._stretches(examples):
                everything_said += (
                    self._say(inputs, labelled_I, blocks.waiting, state.batch.filled),
                    self._say(inputs, unlabelled_I, blocks.loose, state.unlabelled_row, None),
                )
                place = place_of(labelled_I)
                state.batch.append(inputs.at(place), examples.target_B[place])
                state.unlabelled_row = (state.unlabelled_row + len(unlabelled_I)) % blocks.block_events
                if fills:
                    self._step.learn(state)
            blocks.answers.wait()
            return predictions(self._task, examples, everything_said)

    def snapshot(self) -> Snapshot:
        """Copy the whole state out: arrays and JSON. Costs a sync on cuda."""
        return self._state.snapshot(self._layout)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted; continued training has the same bits. Raises CheckpointRefused."""
        self._state.restore(snapshot, self._layout)
        self._head.know(self._state.known_C)
        self._blocks.next_batch()
        self._finite.forget()
        self._looked_at = None

    def describe(self) -> dict[str, Any]:
        """Facts for people. Costs a sync on cuda."""
        network, skipped = self._state.network, self.batches_skipped
        return {
            "parameters": len(network.weights),
            "device": str(network.device),
            "precision": "bfloat16" if network.is_bfloat16 else "float32",
            "threads": self._settings.threads,
            "layers": [network.input_width, *self._settings.hidden, network.outputs],
            "optimizer": self._settings.optimizer,
            "batch_events": self._settings.batch_events,
            "batches_learned": self._state.batches_completed - skipped,
            "batches_skipped": skipped,
            "events_waiting": self._state.batch.filled,
        }

    # ------------------------------------------------------------------------------------ predicting

    def _encode(self, examples: Examples) -> Inputs:
        features, settings = examples.features, self._settings
        assert features.numeric_names == self._numeric, "the features are those that it was built for"
        assert tuple(column.name for column in features.categorical) == self._categorical
        return Inputs.of(features, settings.embedding_buckets, missing_indicator=settings.missing_indicator)

    def _stretches(self, examples: Examples) -> Iterator[Stretch]:
        return stretches(examples.labelled_B, self._state.batch.filled, self._settings.batch_events)

    def _say(
        self, inputs: Inputs, event_I: Index_I, answers_of: Callable[..., list[Tensor]], *where: int | None
    ) -> Said:
        """Have ``Blocks.waiting`` or ``Blocks.loose`` predict these events, which stand ``where`` it is told."""
        state, place = self._state, place_of(event_I)
        answers: list[Tensor] = []
        if self._speaks and len(event_I) > 0:
            answers = answers_of(state.statistics, inputs.at(place), *where)
        return Said(place, self.events_learned, answers, state.known_C, state.target_statistics)

    @property
    def _speaks(self) -> bool:
        if self._task == "regression":
            return self._state.target_statistics.count > 0
        return bool(self._state.known_C.any())

    def _use_threads(self) -> None:
        if torch.get_num_threads() != self._settings.threads:
            torch.set_num_threads(self._settings.threads)
