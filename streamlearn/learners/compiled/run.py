"""One batch through the kernels: chunk by chunk, transformers first, then the model.

A chunk is as many events as stay in the processor's cache between the two. Where it ends changes no number.
"""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Examples, Float_B, Float_BC, Int_B, Label, Predictions
from streamlearn.learners.compiled.kernels_bayes import BayesState, run_bayes
from streamlearn.learners.compiled.kernels_linear import LinearState, run_linear
from streamlearn.learners.compiled.kernels_passive import PassiveState, run_passive
from streamlearn.learners.compiled.kernels_softmax import Ranks, SoftmaxState, run_softmax
from streamlearn.learners.compiled.kernels_transform import transform
from streamlearn.learners.compiled.layout import (
    BLOCK_KIND,
    BLOCK_SKIPS_ZEROS,
    NEW_KEYS,
    ONE_HOT,
    Batch,
    Chunk,
    Side,
)
from streamlearn.learners.compiled.plan import CompiledProgram
from streamlearn.learners.compiled.plan_models import Bayes, Linear, Passive, Softmax
from streamlearn.learners.compiled.state import State

# Numbers of one side of a chunk, 8 bytes each. A kernel's call costs ten microseconds, so a chunk may well leave the
# second-level cache (measured, 200 features: 0.68 us an event at 163 events a chunk, 0.54 at 655).
_NUMBERS_OF_CHUNK = 262_144
_EVENTS_OF_CHUNK = (8, 1024)


class Run:
    """A batch on its way through the kernels. Learned events change ``state``."""

    def __init__(self, program: CompiledProgram, state: State, examples: Examples, learned_B: Bool_B) -> None:
        features = examples.features
        assert features.numeric_names == program.numeric, "the features are those it was lowered for"
        assert tuple(c.name for c in features.categorical) == program.categorical
        self._program = program
        self._state = state
        self._examples = examples
        self._learned_B = learned_B
        token_BT, self._words, self._keys = state.vocabulary.tokens(features.categorical, len(examples))
        self._batch = Batch(
            _owned(features.numeric_BF, np.float64),
            _owned(features.missing_BF, np.bool_),
            token_BT,
            learned_B,
        )
        self._target_B = np.where(examples.labelled_B, examples.target_B, 0)
        self._of_many = isinstance(program.model, Softmax | Bayes)
        self._ranks = self._ranked()
        state.reserve(len(self._words.block_of_place) - 1, len(self._ranks.class_of_rank))

    def go(self) -> int:
        """Run the whole batch; return how many events were done (fewer: River raises on the next one)."""
        events = len(self._examples)
        chunk, chunk_events = self._make_chunk()
        self._prepare_answers()
        done = 0
        while done < events:
            start, stop = done, min(done + chunk_events, events)
            transform(
                self._batch,
                start,
                stop,
                self._program.arrays,
                self._state.cells,
                self._state.rows,
                self._words,
                chunk,
            )
            done += self._model(chunk, slice(start, stop))
            if done < stop:
                break
        self._state.vocabulary.take_in(self._words, self._keys, int(self._words.counters[NEW_KEYS]))
        given = self._ranks.class_of_rank[len(self._state.labels) : self._ranks.given[0]]
        self._state.labels += [self._examples.classes[index] for index in given.tolist()]
        return done

    def predictions(self, version_B: Int_B) -> Predictions:
        """Return what was said, in the columns of the task."""
        if self._program.task == "regression":
            self._said_B[~np.isfinite(self._said_B)] = np.nan
            return Predictions(version_B, value_B=self._said_B)
        if not self._of_many:
            return self._of_two(version_B)
        shares_BC = np.full((len(version_B), len(self._examples.classes)), np.nan)
        for label, rank in enumerate(self._ranks.rank_of_class.tolist()):
            if rank >= 0:
                shares_BC[:, label] = self._share_BC[:, rank]
        shares_BC[~np.isfinite(shares_BC)] = np.nan
        # Rank -1 is the last one: nothing said.
        class_of_rank = np.append(self._ranks.class_of_rank, -1)
        return Predictions(version_B, class_of_rank[self._best_B].astype(np.int32), shares_BC)

    # ------------------------------------------------------------------------------------------- inside

    def _model(self, chunk: Chunk, place: slice) -> int:
        program, words, state = self._program.arrays, self._words, self._state.model
        match self._program.model:
            case Linear(parameters=parameters):
                assert isinstance(state, LinearState)
                numbers = self._number_B[place], self._learned_B[place], self._said_B[place]
                zero_N = np.empty(len(state.weight_N), np.bool_)
                return run_linear(parameters, state, program, words, chunk, *numbers, zero_N)
            case Passive(parameters=passive):
                assert isinstance(state, PassiveState)
                numbers = self._number_B[place], self._learned_B[place], self._said_B[place]
                zero_N = np.empty(len(state.weight_N), np.bool_)
                return run_passive(passive, state, program, words, chunk, *numbers, zero_N)
            case Softmax(parameters=softmax):
                assert isinstance(state, SoftmaxState)
                asked, told = self._asked_and_told(place)
                classes, weights = state.weight_CN.shape
                scratch = np.empty(classes), np.empty(weights, np.bool_)
                return run_softmax(
                    softmax, state, self._ranks, program, words, chunk, *asked, *told, *scratch
                )
            case Bayes():
                assert isinstance(state, BayesState)
                asked, told = self._asked_and_told(place)
                return run_bayes(state, self._ranks, program, chunk, *asked, *told)
            case _:
                assert_never(self._program.model)

    def _asked_and_told(self, place: slice) -> tuple[tuple[Int_B, Bool_B], tuple[Float_BC, Int_B]]:
        asked = self._class_B[place], self._learned_B[place]
        return asked, (self._share_BC[place], self._best_B[place])

    def _prepare_answers(self) -> None:
        events = len(self._examples)
        if self._of_many:
            self._class_B = self._canonical()[self._target_B]
            self._share_BC: Float_BC = np.full((events, len(self._ranks.class_of_rank)), np.nan)
            self._best_B: Int_B = np.full(events, -1, np.int64)
            return
        self._said_B: Float_B = np.empty(events)
        if self._program.task == "regression":
            self._number_B: Float_B = self._target_B.astype(np.float64)
        else:
            is_true = np.array([*(label == True for label in self._flags()), False], np.float64)  # noqa: E712
            self._number_B = is_true[self._target_B.astype(np.int64)]

    def _flags(self) -> tuple[Label, ...]:
        """The batch's classes as a model is told them that knows only true and false (river_model.py)."""
        classes = self._examples.classes
        return (False, True) if len(classes) == 2 and set(classes) != {False, True} else classes

    def _of_two(self, version_B: Int_B) -> Predictions:
        flags = self._flags()
        share_B = self._said_B
        other_B = 1.0 - share_B
        # Of equals River takes the first in its dict, which is False.
        is_true_B = share_B > other_B
        class_B = np.full(len(version_B), -1, np.int32)
        if not np.isfinite(share_B).all():
            share_B = np.where(np.isfinite(share_B), share_B, np.nan)
            other_B = 1.0 - share_B
        shares_BC = np.full((len(version_B), len(flags)), np.nan)
        for label in range(len(flags) - 1, -1, -1):
            if flags[label] == True:  # noqa: E712
                class_B[is_true_B] = label
                shares_BC[:, label] = share_B
            elif flags[label] == False:  # noqa: E712
                class_B[~is_true_B] = label
                shares_BC[:, label] = other_B
        return Predictions(version_B, class_B, shares_BC)

    def _ranked(self) -> Ranks:
        """The ranks of the batch's classes, with room for those that it may teach."""
        rank_of = {label: rank for rank, label in enumerate(self._state.labels)}
        classes = self._examples.classes
        rank_of_class = np.array([rank_of.get(label, -1) for label in classes], np.int64)
        new = len(np.unique(self._target_B[self._learned_B])) if self._of_many else 0
        class_of_rank = np.full(len(rank_of) + new, -1, np.int64)
        known = np.flatnonzero(rank_of_class >= 0)[::-1]  # of equal labels the first
        class_of_rank[rank_of_class[known]] = known
        return Ranks(rank_of_class, class_of_rank, np.array([len(rank_of)], np.int64))

    def _canonical(self) -> Int_B:
        """For each class the first that Python takes for equal to it, as 1 and true."""
        first: dict[Label, int] = {}
        same = [first.setdefault(label, index) for index, label in enumerate(self._examples.classes)]
        return np.array([*same, 0], np.int64)  # there may be no class yet, and no label

    def _make_chunk(self) -> tuple[Chunk, int]:
        program = self._program.arrays
        places = len(self._words.block_of_place) - 1
        blocks = program.block_KX
        has_zeros = bool(((blocks[:, BLOCK_KIND] == ONE_HOT) & (blocks[:, BLOCK_SKIPS_ZEROS] == 0)).any())
        entries = len(program.region) + len(program.input_T) + (places if has_zeros else 0)
        fewest, most = _EVENTS_OF_CHUNK
        events = max(fewest, min(most, _NUMBERS_OF_CHUNK // max(program.values, entries, 1)))
        chunk = self._state.chunk
        # Memory that was written before is at hand; new pages would cost as much as the kernels.
        if chunk is None or len(chunk.learning.weight_E) < events * entries:
            chunk = self._state.chunk = Chunk(*(_side(events, program.values, entries) for _ in range(2)))
        return chunk, min(events, len(chunk.learning.end_W))


def _side(events: int, values: int, entries: int) -> Side:
    return Side(
        value_WV=np.empty((events, values)),
        end_W=np.zeros(events, np.int64),
        weight_E=np.empty(events * entries, np.int64),
        value_E=np.empty(events * entries),
        places_W=np.zeros(events, np.int64),
    )


def _owned(array: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
    """The array as the kernels were compiled for it: plain, C-contiguous and writable."""
    return np.require(array, dtype, ["C", "A", "W"])
