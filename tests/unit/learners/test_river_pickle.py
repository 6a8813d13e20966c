"""A pickle like any other: the same object comes back, and the live one is left as it was."""

from __future__ import annotations

import pickle
import random
import sys
from typing import Any

import pytest
from river import compose, forest, linear_model, multiclass, naive_bayes, neighbors, preprocessing, tree

from streamlearn.learners.river_pickle import RiverPickler


def learned(model: Any, events: int = 300) -> Any:
    rng = random.Random(3)
    for _ in range(events):
        x = {f"f{i}": rng.random() for i in range(4)}
        model.learn_one(x, x["f0"] + 0.3 * rng.random() > 0.6)
    return model


MODELS = [
    preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    compose.TransformerUnion(compose.Select("f0"), preprocessing.MinMaxScaler()) | naive_bayes.GaussianNB(),
    tree.HoeffdingTreeClassifier(grace_period=20),
    forest.ARFClassifier(n_models=3, seed=1),
    neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=50)),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("rehearsed", [True, False])
def test_the_same_object_comes_back(model: Any, rehearsed: bool) -> None:
    model = learned(model.clone())
    pickler = RiverPickler()
    if rehearsed:
        pickler.dumps(model.clone())
    light = pickle.loads(pickler.dumps(model))
    again = pickle.loads(pickler.dumps(model))
    # What was read back, pickled the ordinary way, is byte for byte what an ordinary round trip gives.
    plain = pickle.dumps(pickle.loads(pickle.dumps(model)))
    assert pickle.dumps(light) == plain
    assert pickle.dumps(again) == plain


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="from 3.13 on a __dict__ may share the inline values")
def test_attributes_stay_inline() -> None:
    import gc

    def is_inline(model: Any) -> bool:
        return not any(isinstance(r, dict) and "intercept" in r for r in gc.get_referents(model))

    model, pickler = learned(linear_model.LogisticRegression()), RiverPickler()
    assert is_inline(model)
    pickler.dumps(model.clone())
    pickled = pickler.dumps(model)
    assert is_inline(model)
    assert is_inline(pickle.loads(pickled))
    pickle.dumps(model)
    assert not is_inline(model), "an ordinary pickle no longer moves them, so this module has had its day"


def test_an_attribute_that_came_later_is_not_lost() -> None:
    pickler, model = RiverPickler(), linear_model.LogisticRegression()
    pickler.dumps(model.clone())
    model.later = "text"
    assert pickle.loads(pickler.dumps(model)).later == "text"
    # Nor one that shadows an attribute of the class.
    pipeline = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    pickler.dumps(pipeline)
    pipeline._LEARN_UNSUPERVISED_DURING_PREDICT = True
    for _ in range(2):
        assert vars(pickle.loads(pickler.dumps(pipeline)))["_LEARN_UNSUPERVISED_DURING_PREDICT"] is True


def test_an_attribute_that_is_gone_stays_gone() -> None:
    pickler, model = RiverPickler(), linear_model.LogisticRegression()
    pickler.dumps(model.clone())
    del model._y_name
    assert "_y_name" not in vars(pickle.loads(pickler.dumps(model)))


def test_identity_and_cycles_are_kept() -> None:
    pickler, model = RiverPickler(), linear_model.LogisticRegression()
    pickler.dumps(model.clone())
    model.me, model.twice = model, [model.optimizer, model.optimizer]
    for _ in range(2):
        back = pickle.loads(pickler.dumps(model))
        assert back.me is back
        assert back.twice[0] is back.twice[1] is back.optimizer


def test_what_cannot_be_pickled_raises_as_ever() -> None:
    model = linear_model.LogisticRegression()
    model.callback = lambda x: x
    with pytest.raises((pickle.PicklingError, AttributeError)):
        RiverPickler().dumps(model)


def words(count: int, seed: int) -> set[str]:
    draw = random.Random(seed)
    return {"".join(draw.choices("abcdefghij", k=8)) for _ in range(count)}


@pytest.mark.parametrize("count", [2, 3, 4, 6, 12, 40])
def test_replay_equals_run_a_set_keeps_its_order(count: int) -> None:
    """Of two words one set in sixteen comes back from an ordinary pickle in another order, of three one in six.

    Which ones those are, the seed of the process's hashes decides. So as many are drawn as it takes to meet one:
    among a hundred sets of two words there is none once in six hundred runs, among a thousand never.
    """
    changed, seed = False, 0
    while seed < 100 or not changed:
        assert seed < 1000, "an ordinary pickle kept the order of every set: nothing was shown"
        model = multiclass.OneVsOneClassifier(linear_model.LogisticRegression())
        for word in sorted(words(count, seed)):
            model.classes.add(word)
        order = list(model.classes)
        changed |= list(pickle.loads(pickle.dumps(model)).classes) != order
        back = model
        for _ in range(3):  # and keeps it, restart after restart
            back = pickle.loads(RiverPickler().dumps(back))
        assert type(back.classes) is set
        assert list(back.classes) == order
        seed += 1


@pytest.mark.parametrize("count", [2, 3])
def test_a_small_set_goes_on_growing_as_if_never_restarted(count: int) -> None:
    """Where two want one place, it shows only with the next one who of them has it."""
    draw = random.Random(count)
    for seed in range(1000):
        model = linear_model.LogisticRegression()
        model.keys = words(count, seed)
        back = pickle.loads(RiverPickler().dumps(model))
        following = "".join(draw.choices("abcdefghij", k=8))
        model.keys.add(following)
        back.keys.add(following)
        assert list(back.keys) == list(model.keys)


def test_a_set_that_two_share_stays_shared() -> None:
    first, second = linear_model.LogisticRegression(), linear_model.LogisticRegression()
    for seed in range(30):
        first.keys = second.keys = words(12, seed)
        back = pickle.loads(RiverPickler().dumps([first, second]))
        assert back[0].keys is back[1].keys
        assert back[0].keys == first.keys
