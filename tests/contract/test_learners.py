"""What every learner promises the belt (``contracts.Learner``), asked of every learner.

A new learner is one line in ``CONTENDERS``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, get_args

import numpy as np
import pytest
from examples_for_tests import (
    CATEGORICAL,
    NUMERIC,
    assert_same,
    cut,
    joined,
    learn,
    make_examples,
    rows_of,
    with_classes,
)

from streamlearn.checkpoints import unpickle
from streamlearn.checkpoints.structure import structure_digest
from streamlearn.config import PythonModel, Task, TorchModel
from streamlearn.contracts import Learner, Snapshot
from streamlearn.events import Categorical, Examples
from streamlearn.learners.baseline import baselines
from streamlearn.learners.compiled.learner import CompiledLearner, make_compiled
from streamlearn.learners.python_model import make_python
from streamlearn.learners.river_build import build
from streamlearn.learners.river_model import RiverLearner
from streamlearn.learners.torch_network import TorchLearner

EVENTS = 200

ENCODED = {
    "use": "compose.TransformerUnion",
    "transformers": [
        {
            "use": "compose.Pipeline",
            "steps": [{"use": "compose.Select", "keys": list(NUMERIC)}, "preprocessing.StandardScaler"],
        },
        {
            "use": "compose.Pipeline",
            "steps": [{"use": "compose.Select", "keys": list(CATEGORICAL)}, "preprocessing.OneHotEncoder"],
        },
    ],
}
NUMBERS = {"use": "compose.SelectType", "types": ["number"]}
LOGISTIC = {"use": "linear_model.LogisticRegression", "l2": 1e-4}


@dataclass(frozen=True)
class Contender:
    """One learner on one task; ``make()`` gives a fresh one, always of the same seed."""

    name: str
    task: Task
    make: Callable[[], Learner]
    learns_unlabelled: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.task}"


def river(name: str, task: Task, *pipeline: Any, **facts: Any) -> Contender:
    def make() -> Learner:
        model = build(pipeline, seed=11)
        return RiverLearner(
            name, model, task, missing_indicator=name.endswith("missing"), loads=unpickle.loads
        )

    return Contender(f"river-{name}", task, make, **facts)


def compiled(name: str, task: Task, *pipeline: Any) -> Contender:
    def make() -> Learner:
        made = make_compiled(
            name,
            build(pipeline, seed=11),
            task,
            NUMERIC,
            CATEGORICAL,
            missing_indicator=name.endswith("missing"),
            loads=unpickle.loads,
        )
        assert isinstance(made, CompiledLearner), str(made)
        return made

    return Contender(f"compiled-{name}", task, make)


def python(name: str, task: Task, factory: str, admit: tuple[str, ...] = (), **arguments: Any) -> Contender:
    settings = PythonModel(name=name, learner="python", factory=factory, arguments=arguments, admit=admit)
    return Contender(f"python-{name}", task, lambda: make_python(settings, task, unpickle.loads))


def torch(task: Task, **options: Any) -> Contender:
    settings = TorchModel(
        name="mlp",
        learner="torch",
        hidden=(8,),
        batch_events=16,
        embedding_buckets=32,
        embedding_width=2,
        device="cpu",
        **options,
    )
    return Contender("torch", task, lambda: TorchLearner(settings, task, NUMERIC, CATEGORICAL, 11))


def every_baseline(task: Task) -> list[Contender]:
    return [
        Contender(baseline.name, task, lambda index=index: baselines(task)[index])
        for index, baseline in enumerate(baselines(task))
    ]


CONTENDERS = [
    river("logistic", "binary", ENCODED, LOGISTIC),
    river("logistic-missing", "binary", NUMBERS, "preprocessing.StandardScaler", LOGISTIC),
    river("tree", "binary", {"use": "tree.HoeffdingTreeClassifier", "grace_period": 20}),
    river("forest", "binary", {"use": "forest.ARFClassifier", "n_models": 3, "grace_period": 20}),
    river("neighbors", "binary", NUMBERS, "neighbors.KNNClassifier"),
    river(
        "voting", "binary", ENCODED, {"use": "ensemble.VotingClassifier", "models": [LOGISTIC, {"use": "dummy.PriorClassifier"}]}
    ),
    river("one-vs-rest", "multiclass", ENCODED, {"use": "multiclass.OneVsRestClassifier", "classifier": LOGISTIC}),
    river("one-vs-one", "multiclass", ENCODED, {"use": "multiclass.OneVsOneClassifier", "classifier": LOGISTIC}),
    river("bayes", "multiclass", NUMBERS, "naive_bayes.GaussianNB"),
    river("no-change", "multiclass", "dummy.NoChangeClassifier"),
    river("linear", "regression", ENCODED, {"use": "linear_model.LinearRegression", "optimizer": {"use": "optim.Adam"}}),
    river("tree", "regression", NUMBERS, {"use": "tree.HoeffdingAdaptiveTreeRegressor", "grace_period": 20}),
    river("projected", "regression", NUMBERS, "preprocessing.SparseRandomProjector", "linear_model.LinearRegression"),
    river(
        "half-space", "anomaly", NUMBERS, {"use": "anomaly.HalfSpaceTrees", "n_trees": 3, "height": 4, "window_size": 50},
        learns_unlabelled=True,
    ),
    compiled("logistic", "binary", ENCODED, LOGISTIC),
    compiled("sparse", "binary", ENCODED, "linear_model.LogisticRegression"),
    compiled("logistic-missing", "binary", NUMBERS, "preprocessing.StandardScaler", LOGISTIC),
    compiled("softmax", "multiclass", ENCODED, "linear_model.SoftmaxRegression"),
    compiled("bayes", "multiclass", ENCODED, "naive_bayes.GaussianNB"),
    compiled("linear", "regression", ENCODED, {"use": "linear_model.LinearRegression", "optimizer": {"use": "optim.Adam"}}),
    compiled("passive-missing", "regression", "preprocessing.FeatureHasher", "linear_model.PARegressor"),
    python("tree", "multiclass", "river.tree:HoeffdingTreeClassifier", grace_period=20),
    python("rates", "binary", "examples_for_tests:CarrierRates", prior=1.0),
    torch("binary"),
    torch("multiclass", dropout=0.2),
    torch("regression", missing_indicator=True),
    *(contender for task in get_args(Task) for contender in every_baseline(task)),
]  # fmt: skip


LEARN_FROM_LABELS = [contender for contender in CONTENDERS if not contender.learns_unlabelled]
MULTICLASS = [contender for contender in CONTENDERS if contender.task == "multiclass"]


@pytest.fixture(params=CONTENDERS, ids=str)
def contender(request: pytest.FixtureRequest) -> Contender:
    made: Contender = request.param
    return made


def content(snapshot: Snapshot) -> Any:
    """A snapshot as bytes that compare, a pickle by the structure that it stands for."""
    arrays = {name: (a.dtype.str, a.shape, a.tobytes()) for name, a in snapshot.arrays.items()}
    pickled = None if snapshot.pickled is None else structure_digest(unpickle.loads(snapshot.pickled))
    return json.dumps(snapshot.data, sort_keys=True), arrays, pickled


def flipped(examples: Examples, start: int) -> Examples:
    """The same events, with other labels from ``start`` on."""
    target_B = examples.target_B.copy()
    other_B = target_B[start:] + 1 if not examples.classes else (target_B[start:] + 1) % len(examples.classes)
    target_B[start:] = other_B
    return replace(examples, target_B=target_B)


def labelled_only(examples: Examples) -> Examples:
    kept = np.flatnonzero(examples.labelled_B)
    features = replace(
        examples.features,
        numeric_BF=examples.features.numeric_BF[kept],
        missing_BF=examples.features.missing_BF[kept],
        categorical=tuple(replace(c, codes_B=c.codes_B[kept]) for c in examples.features.categorical),
    )
    return replace(
        examples, features=features, target_B=examples.target_B[kept], labelled_B=examples.labelled_B[kept]
    )


def sizes(size: int) -> Iterator[int]:
    return iter(repeat(size, EVENTS // size))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_replay_equals_run_however_the_events_are_cut(contender: Contender, size: int) -> None:
    examples, probe = make_examples(contender.task, EVENTS), make_examples(contender.task, 20, seed=9)
    whole, parts = contender.make(), contender.make()
    expected = learn(whole, [examples])
    assert_same(learn(parts, cut(examples, sizes(size))), expected)
    assert content(parts.snapshot()) == content(whole.snapshot())
    assert_same(parts.predict(probe), whole.predict(probe))


@pytest.mark.parametrize("at", [0, 1, 61, 128])
def test_replay_equals_run_across_a_restart(contender: Contender, at: int) -> None:
    examples = make_examples(contender.task, EVENTS)
    straight, first, restored = contender.make(), contender.make(), contender.make()
    expected = straight.predict_then_learn(examples)
    first.predict_then_learn(examples.rows(0, at))
    snapshot = first.snapshot()
    restored.restore(snapshot)
    assert restored.events_learned == first.events_learned
    assert content(restored.snapshot()) == content(snapshot)
    assert_same(restored.predict_then_learn(examples.rows(at, EVENTS)), rows_of(expected, at, EVENTS))
    assert content(restored.snapshot()) == content(straight.snapshot())


def test_reads_are_pure(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    reader, quiet = contender.make(), contender.make()
    for part in cut(examples, sizes(40)):
        before = content(reader.snapshot())
        said = reader.predict(part)
        assert_same(reader.predict(part), said)
        reader.describe()
        assert content(reader.snapshot()) == before
        learned = reader.predict_then_learn(part)
        assert_same(learned, quiet.predict_then_learn(part))
        assert_same(rows_of(said, 0, 1), rows_of(learned, 0, 1))
    assert content(reader.snapshot()) == content(quiet.snapshot())


def test_an_event_without_a_label_is_predicted_and_not_learned(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    learner = contender.make()
    predictions = learner.predict_then_learn(examples)
    # Whatever stands where no label is, nobody looks at it.
    target_B = np.where(examples.labelled_B, examples.target_B, 10_000).astype(examples.target_B.dtype)
    other = contender.make()
    assert_same(other.predict_then_learn(replace(examples, target_B=target_B)), predictions)
    assert content(other.snapshot()) == content(learner.snapshot())
    if contender.learns_unlabelled:
        return
    # And what is learned from the others does not depend on it.
    labelled = contender.make()
    expected = labelled.predict_then_learn(labelled_only(examples))
    for ours, theirs in [
        (predictions.class_B, expected.class_B),
        (predictions.value_B, expected.value_B),
        (predictions.version_B, expected.version_B),
    ]:
        if ours is not None:
            np.testing.assert_array_equal(ours[examples.labelled_B], theirs)
    assert labelled.events_learned == learner.events_learned
    nothing = contender.make()
    nothing.predict_then_learn(replace(examples, labelled_B=np.zeros(EVENTS, np.bool_)))
    assert nothing.events_learned == 0


def test_the_version_counts_what_was_learned(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    learned_B = np.ones(EVENTS, np.bool_) if contender.learns_unlabelled else examples.labelled_B
    seen_before_B = np.cumsum(learned_B) - learned_B
    learner = contender.make()
    assert learner.events_learned == 0
    predictions = joined([learner.predict_then_learn(part) for part in cut(examples, sizes(9))])
    assert predictions.version_B[0] == 0
    assert predictions.version_B.dtype == np.int64
    assert (np.diff(predictions.version_B) >= 0).all()
    assert (predictions.version_B <= seen_before_B).all(), "it never counts what it has not learned"
    assert predictions.version_B[-1] > 0
    assert learner.events_learned <= np.count_nonzero(learned_B)
    assert learner.predict(examples.rows(0, 1)).version_B.tolist() == [learner.events_learned]


@pytest.mark.parametrize("event", [0, 1, 30, 150])
def test_predict_before_learn(contender: Contender, event: int) -> None:
    """Other labels from an event on change no prediction up to it."""
    examples = make_examples(contender.task, EVENTS)
    expected = contender.make().predict_then_learn(examples)
    predictions = contender.make().predict_then_learn(flipped(examples, event))
    assert_same(rows_of(predictions, 0, event + 1), rows_of(expected, 0, event + 1))


@pytest.mark.parametrize("contender", LEARN_FROM_LABELS, ids=str)
def test_labels_matter_at_all(contender: Contender) -> None:
    """So that the test above can fail."""
    examples = make_examples(contender.task, EVENTS)
    learner, other = contender.make(), contender.make()
    learner.predict_then_learn(examples)
    other.predict_then_learn(flipped(examples, 0))
    assert content(other.snapshot()) != content(learner.snapshot())


def test_a_category_that_was_never_seen_is_predicted_and_learned(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    learner, parts = contender.make(), contender.make()
    for each in (learner, parts):
        each.predict_then_learn(examples)
    # Codes are local to a batch: the same categories under other codes, and new ones.
    carrier, origin = examples.features.categorical
    new = Categorical(
        "carrier", (carrier.codes_B + 2).astype(np.int32), ("XX", "é\U0001f6eb", *carrier.values)
    )
    new.codes_B[::5] = 0
    new.codes_B[1::5] = 1
    later = replace(examples, features=replace(examples.features, categorical=(new, origin)))
    predictions = learner.predict_then_learn(later)
    assert len(predictions) == EVENTS
    assert_same(learn(parts, cut(later, sizes(7))), predictions)
    assert content(parts.snapshot()) == content(learner.snapshot())


def test_codes_of_a_category_mean_nothing(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    recoded = tuple(
        replace(c, codes_B=(len(c.values) - 1 - c.codes_B).astype(np.int32), values=c.values[::-1])
        for c in examples.features.categorical
    )
    other = replace(examples, features=replace(examples.features, categorical=recoded))
    assert_same(contender.make().predict_then_learn(other), contender.make().predict_then_learn(examples))


@pytest.mark.parametrize("contender", MULTICLASS, ids=str)
def test_classes_may_grow(contender: Contender) -> None:
    """Only multiclass learns its classes from the stream; its third comes in the second half."""
    examples = make_examples("multiclass", EVENTS)
    third = int(np.flatnonzero(examples.labelled_B & (examples.target_B == 2))[0])
    # As the stream tells them: no class before one of its events is in the batch.
    sizes_and_classes = [(1, 0), (20, 2), (third - 21, 2), (EVENTS - third, 3)]
    first = examples.target_B[examples.labelled_B][0]
    learner, known = contender.make(), contender.make()
    said, start = [], 0
    for size, classes in sizes_and_classes:
        part = with_classes(
            examples.rows(start, start + size), examples.classes[:classes] or examples.classes[: first + 1]
        )
        said.append(learner.predict_then_learn(part))
        start += size
    expected = known.predict_then_learn(examples)
    np.testing.assert_array_equal(np.concatenate([part.class_B for part in said]), expected.class_B)
    assert content(learner.snapshot()) == content(known.snapshot())
    # A class that the batch holds is not known before it was learned.
    assert (expected.class_B[: third + 1] != 2).all()
    if expected.probability_BC is not None:
        np.testing.assert_array_equal(said[-1].probability_BC, expected.probability_BC[third:])
        assert not (np.nan_to_num(expected.probability_BC[: third + 1, 2]) > 0).any()


def test_a_snapshot_is_not_changed_by_later_learning(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    learner = contender.make()
    learner.predict_then_learn(examples.rows(0, 100))
    snapshot = learner.snapshot()
    before = content(snapshot)
    learner.predict_then_learn(examples.rows(100, EVENTS))
    assert content(snapshot) == before
    assert content(learner.snapshot()) != before
    # Nor by what a learner that was restored from it goes on to learn.
    restored = contender.make()
    restored.restore(snapshot)
    restored.predict_then_learn(examples.rows(100, EVENTS))
    assert content(snapshot) == before
    # And a learner can go back to it.
    learner.restore(snapshot)
    assert content(learner.snapshot()) == before


def test_the_columns_fit_the_task(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    predictions = contender.make().predict_then_learn(examples)
    assert len(predictions) == EVENTS
    if contender.task in ("regression", "anomaly"):
        assert predictions.class_B is None
        assert predictions.probability_BC is None
        assert predictions.value_B is not None
        assert predictions.value_B.dtype == np.float64
        assert not np.isinf(predictions.value_B).any()
        return
    assert predictions.value_B is None
    assert predictions.class_B is not None
    assert predictions.class_B.dtype == np.int32
    assert ((predictions.class_B >= -1) & (predictions.class_B < len(examples.classes))).all()
    if predictions.probability_BC is not None:
        share_BC = np.nan_to_num(predictions.probability_BC)
        assert share_BC.shape == (EVENTS, len(examples.classes))
        assert ((share_BC >= 0) & (share_BC <= 1 + 1e-9)).all()
        total_B = share_BC.sum(axis=1)
        assert (np.isclose(total_B, 1) | (total_B == 0)).all()


def test_no_events_are_no_predictions(contender: Contender) -> None:
    examples = make_examples(contender.task, EVENTS)
    learner = contender.make()
    learner.predict_then_learn(examples)
    before = content(learner.snapshot())
    assert len(learner.predict_then_learn(examples.rows(0, 0))) == 0
    assert len(learner.predict(examples.rows(0, 0))) == 0
    assert content(learner.snapshot()) == before


def test_it_describes_itself_in_json(contender: Contender) -> None:
    learner = contender.make()
    learner.predict_then_learn(make_examples(contender.task, EVENTS))
    assert json.loads(json.dumps(learner.describe(), allow_nan=False))
    assert learner.engine in ("river", "compiled", "torch", "python", "baseline")
    assert learner.name
