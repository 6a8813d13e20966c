"""One batch through the kernels: chunk by chunk, transformers first, then the model.

A chunk is as many events as stay in the processor's cache between the two. Where it ends changes no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from streamlearn.events import (
    NO_LABEL,
    Bool_B,
    Code_B,
    Examples,
    Float_B,
    Float_BC,
    Int_B,
    Label,
    Predictions,
)
from streamlearn.learners.compiled.kernels_bayes import BayesState, run_bayes
from streamlearn.learners.compiled.kernels_linear import LinearState, run_linear
from streamlearn.learners.compiled.kernels_losses import tell_of_two
from streamlearn.learners.compiled.kernels_passive import PassiveState, run_passive
from streamlearn.learners.compiled.kernels_softmax import Ranks, SoftmaxState, run_softmax
from streamlearn.learners.compiled.layout import (
    BLOCK_KIND,
    BLOCK_SKIPS_ZEROS,
    NEW_KEYS,
    ONE_HOT,
    Batch,
    Chunk,
    Feed,
    Side,
)
from streamlearn.learners.compiled.plan import CompiledProgram
from streamlearn.learners.compiled.plan_models import Bayes, Linear, Passive, Softmax
from streamlearn.learners.compiled.state import State

# Numbers of one side of a chunk, 8 bytes each: both sides stay in the second-level cache.
_NUMBERS_OF_CHUNK = 16_384
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
            self._undone(),
        )
        self._target_B = np.where(examples.labelled_B, examples.target_B, 0)
        self._of_many = isinstance(program.model, Softmax | Bayes)
        self._ranks = self._ranked()
        state.reserve(len(self._words.block_of_place) - 1, len(self._ranks.class_of_rank))

    def go(self) -> int:
        """Run the whole batch; return how many events were done (fewer: River raises on the next one)."""
        self._prepare_answers()
        done = self._model(self._feed())
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

    def _model(self, feed: Feed) -> int:
        state = self._state.model
        match self._program.model:
            case Linear(parameters=parameters):
                assert isinstance(state, LinearState)
                zero_N = np.empty(len(state.weight_N), np.bool_)
                return run_linear(parameters, state, feed, self._number_B, self._said_B, zero_N)
            case Passive(parameters=passive):
                assert isinstance(state, PassiveState)
                zero_N = np.empty(len(state.weight_N), np.bool_)
                return run_passive(passive, state, feed, self._number_B, self._said_B, zero_N)
            case Softmax(parameters=softmax):
                assert isinstance(state, SoftmaxState)
                classes, weights = state.weight_CN.shape
                scratch = np.empty(classes), np.empty(weights, np.bool_)
                told = self._class_B, self._share_BC, self._best_B
                return run_softmax(softmax, state, self._ranks, feed, *told, *scratch)
            case Bayes():
                assert isinstance(state, BayesState)
                return run_bayes(state, self._ranks, feed, self._class_B, self._share_BC, self._best_B)
            case _:
                assert_never(self._program.model)

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

    def _undone(self) -> Code_B:
        """Which of two labels is undone where one is, as the kernels take it."""
        undone_B = self._examples.undone_B
        if undone_B is None:
            return np.empty(0, np.int32)
        is_true = np.array([*(label == True for label in self._flags()), NO_LABEL], np.int32)  # noqa: E712
        return is_true[undone_B]

    def _flags(self) -> tuple[Label, ...]:
        """The batch's classes as a model is told them that knows only true and false (river_model.py)."""
        classes = self._examples.classes
        return (False, True) if len(classes) == 2 and set(classes) != {False, True} else classes

    def _of_two(self, version_B: Int_B) -> Predictions:
        flags = self._flags()
        # As Python takes them for equal: 1 is true. Of equals the first.
        is_true, is_false = [flag == True for flag in flags], [flag == False for flag in flags]  # noqa: E712
        class_of_two = np.array([_first(is_false), _first(is_true)], np.int32)
        kind_C = np.where(is_true, 1, np.where(is_false, 0, -1))
        class_B = np.empty(len(version_B), np.int32)
        share_BC = np.empty((len(version_B), len(flags)))
        tell_of_two(self._said_B, class_of_two, kind_C, class_B, share_BC)
        return Predictions(version_B, class_B, share_BC)

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

    def _feed(self) -> Feed:
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
        state = self._state
        return Feed(
            self._batch,
            program,
            state.cells,
            state.rows,
            self._words,
            chunk,
            min(events, len(chunk.learning.end_W)),
        )


def _side(events: int, values: int, entries: int) -> Side:
    return Side(
        value_WV=np.empty((events, values)),
        end_W=np.zeros(events, np.int64),
        weight_E=np.empty(events * entries, np.int64),
        value_E=np.empty(events * entries),
        places_W=np.zeros(events, np.int64),
    )


def _first(is_wanted: Sequence[bool]) -> int:
    """The index of the first that is wanted; -1: none."""
    return is_wanted.index(True) if True in is_wanted else -1


def _owned(array: npt.NDArray[Any], dtype: type) -> npt.NDArray[Any]:
    """The array as the kernels were compiled for it: plain, C-contiguous and writable."""
    return np.require(array, dtype, ["C", "A", "W"])
