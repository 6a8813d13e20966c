"""Stock River models through a checkpoint: what is restored is what was learned, to the last bit."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import river.api
from river import (
    anomaly,
    compose,
    drift,
    dummy,
    ensemble,
    facto,
    feature_extraction,
    feature_selection,
    forest,
    imblearn,
    linear_model,
    metrics,
    multiclass,
    naive_bayes,
    neighbors,
    optim,
    preprocessing,
    rules,
    stats,
    tree,
)

from streamlearn.checkpoints.structure import structure_digest
from streamlearn.checkpoints.unpickle import loads
from streamlearn.learners.river_pickle import RiverPickler

EVENTS_BEFORE, EVENTS_AFTER = 250, 200


def scaled(model: Any) -> Any:
    return preprocessing.StandardScaler() | model


def mixed() -> Any:
    """A pipeline with a union, hashing, one-hot encoding and target statistics."""
    numeric = compose.Select("a", "b", "c") | preprocessing.StandardScaler()
    encoded = compose.Select("carrier") | preprocessing.OneHotEncoder()
    hashed = compose.Select("origin") | preprocessing.FeatureHasher(n_features=16, seed=1)
    means = feature_extraction.TargetAgg(by="carrier", how=stats.BayesianMean(prior=0.5, prior_weight=5))
    return (numeric + encoded + hashed + means) | linear_model.LogisticRegression(optim.Adam(0.01))


BINARY: dict[str, Callable[[], Any]] = {
    "logistic": lambda: scaled(linear_model.LogisticRegression()),
    "logistic_adam_l1": lambda: scaled(linear_model.LogisticRegression(optim.Adam(0.01), l1=1e-3)),
    "logistic_rmsprop": lambda: scaled(linear_model.LogisticRegression(optim.RMSProp(0.01), l2=1e-4)),
    "perceptron": lambda: scaled(linear_model.Perceptron()),
    "passive_aggressive": lambda: scaled(linear_model.PAClassifier(mode=2)),
    "alma": lambda: scaled(linear_model.ALMAClassifier()),
    "mixed_union": mixed,
    "gaussian_nb": naive_bayes.GaussianNB,
    "hoeffding_tree": lambda: tree.HoeffdingTreeClassifier(grace_period=50),
    "hoeffding_tree_mc": lambda: tree.HoeffdingTreeClassifier(grace_period=50, leaf_prediction="mc"),
    "hoeffding_adaptive": lambda: tree.HoeffdingAdaptiveTreeClassifier(grace_period=50, seed=1),
    "extremely_fast_tree": lambda: tree.ExtremelyFastDecisionTreeClassifier(grace_period=50),
    "sgt": tree.SGTClassifier,
    "arf": lambda: forest.ARFClassifier(n_models=3, grace_period=30, seed=1),
    "aggregated_mondrian": lambda: forest.AMFClassifier(n_estimators=3, seed=1),
    "knn": lambda: scaled(neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=50))),
    "knn_swinn": lambda: scaled(
        neighbors.KNNClassifier(engine=neighbors.SWINN(maxlen=300, warm_up=100, seed=1))
    ),
    "bagging": lambda: ensemble.BaggingClassifier(
        scaled(linear_model.LogisticRegression()), n_models=3, seed=1
    ),
    "leveraging_bagging": lambda: ensemble.LeveragingBaggingClassifier(
        tree.HoeffdingTreeClassifier(grace_period=50), n_models=3, seed=1
    ),
    "adaboost": lambda: ensemble.AdaBoostClassifier(
        tree.HoeffdingTreeClassifier(grace_period=50), n_models=3, seed=1
    ),
    "adwin_bagging": lambda: ensemble.ADWINBaggingClassifier(
        scaled(linear_model.LogisticRegression()), n_models=3, seed=1
    ),
    "srp": lambda: ensemble.SRPClassifier(n_models=3, seed=1),
    "stacking": lambda: ensemble.StackingClassifier(
        [scaled(linear_model.LogisticRegression()), naive_bayes.GaussianNB()],
        meta_classifier=linear_model.LogisticRegression(),
    ),
    "voting": lambda: ensemble.VotingClassifier(
        [scaled(linear_model.LogisticRegression()), naive_bayes.GaussianNB()]
    ),
    "drift_retraining": lambda: drift.DriftRetrainingClassifier(naive_bayes.GaussianNB(), drift.binary.DDM()),
    "over_sampler": lambda: imblearn.RandomOverSampler(
        scaled(linear_model.LogisticRegression()), desired_dist={False: 0.5, True: 0.5}, seed=1
    ),
    "poisson_inclusion": lambda: (
        feature_selection.PoissonInclusion(p=0.5, seed=1) | linear_model.LogisticRegression()
    ),
    "under_sampler": lambda: imblearn.RandomUnderSampler(
        scaled(linear_model.LogisticRegression()), desired_dist={False: 0.5, True: 0.5}, seed=1
    ),
    "factorization_machine": lambda: facto.FMClassifier(n_factors=3, seed=1),
    "random_projection": lambda: (
        preprocessing.StandardScaler()
        | preprocessing.GaussianRandomProjector(2, seed=1)
        | linear_model.LogisticRegression()
    ),
    "rbf_sampler": lambda: (
        feature_extraction.RBFSampler(n_components=8, seed=1) | linear_model.LogisticRegression()
    ),
    "robust_scaler_imputer": lambda: (
        preprocessing.StatImputer() | preprocessing.RobustScaler() | linear_model.LogisticRegression()
    ),
    "prior": dummy.PriorClassifier,
}
MULTICLASS: dict[str, Callable[[], Any]] = {
    "softmax": lambda: scaled(linear_model.SoftmaxRegression()),
    "one_vs_rest": lambda: scaled(multiclass.OneVsRestClassifier(linear_model.LogisticRegression())),
    "one_vs_one": lambda: scaled(multiclass.OneVsOneClassifier(linear_model.LogisticRegression())),
    "output_code": lambda: scaled(
        multiclass.OutputCodeClassifier(linear_model.LogisticRegression(), code_size=6, seed=1)
    ),
    "multiclass_tree": lambda: tree.HoeffdingTreeClassifier(grace_period=50),
    "multiclass_arf": lambda: forest.ARFClassifier(n_models=3, seed=1, metric=metrics.MacroF1()),
    "last_tree": lambda: tree.LASTClassifier(),
}
REGRESSION: dict[str, Callable[[], Any]] = {
    "linear": lambda: scaled(linear_model.LinearRegression()),
    "linear_target_scaled": lambda: preprocessing.TargetStandardScaler(
        scaled(linear_model.LinearRegression())
    ),
    "linear_target_min_max": lambda: preprocessing.TargetMinMaxScaler(
        scaled(linear_model.LinearRegression())
    ),
    "bayesian_linear": lambda: scaled(linear_model.BayesianLinearRegression()),
    "passive_aggressive_regressor": lambda: scaled(linear_model.PARegressor(mode=1)),
    "regression_tree": lambda: tree.HoeffdingTreeRegressor(grace_period=50),
    "adaptive_regression_tree": lambda: tree.HoeffdingAdaptiveTreeRegressor(grace_period=50, seed=1),
    "arf_regressor": lambda: forest.ARFRegressor(n_models=3, grace_period=30, seed=1),
    "oxt_regressor": lambda: forest.OXTRegressor(n_models=3, grace_period=30, seed=1),
    "model_rules": lambda: rules.AMRules(n_min=50),
    "knn_regressor": lambda: scaled(neighbors.KNNRegressor(engine=neighbors.LazySearch(window_size=50))),
    "select_k_best": lambda: (
        feature_selection.SelectKBest(stats.PearsonCorr(), k=2) | linear_model.LinearRegression()
    ),
    "exponential_weights": lambda: ensemble.EWARegressor(
        [linear_model.LinearRegression(), linear_model.PARegressor()]
    ),
    "sgt_regressor": tree.SGTRegressor,
}
ANOMALY: dict[str, Callable[[], Any]] = {
    "half_space_trees": lambda: (
        preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(n_trees=5, window_size=50, seed=1)
    ),
    "one_class_svm": lambda: scaled(anomaly.OneClassSVM(nu=0.2)),
    "quantile_filter": lambda: anomaly.QuantileFilter(anomaly.OneClassSVM(nu=0.2), q=0.95),
    "local_outlier_factor": lambda: anomaly.LocalOutlierFactor(n_neighbors=5),
    "loda": lambda: anomaly.LODA(seed=1),
}
MODELS = {
    **{name: ("binary", make) for name, make in BINARY.items()},
    **{name: ("multiclass", make) for name, make in MULTICLASS.items()},
    **{name: ("regression", make) for name, make in REGRESSION.items()},
    **{name: ("anomaly", make) for name, make in ANOMALY.items()},
}
CATEGORIES = {"mixed_union"}
# AMRules keeps its rules in a dict by their addresses, so no two runs of it hold the same state.
KEYED_BY_ADDRESS = {"model_rules"}
REPEATABLE = [name for name in MODELS if name not in KEYED_BY_ADDRESS]


def events(name: str, task: str, count: int) -> Iterator[tuple[dict[str, Any], Any]]:
    draw = random.Random(3)
    for index in range(count):
        x: dict[str, Any] = {feature: draw.gauss(0, 1) for feature in "abc"}
        signal = x["a"] + x["b"] * x["c"] + (index > 120)  # a drift, so that drift detectors have work
        y = {
            "binary": signal > 0.3,
            "multiclass": "low" if signal < -0.5 else "middle" if signal < 0.7 else "high",
            "regression": signal,
            "anomaly": abs(signal) > 2.5,
        }[task]
        if name in CATEGORIES:
            x |= {"carrier": draw.choice(["AA", "UA", "DL"]), "origin": draw.choice(["JFK", "EWR", "LGA"])}
        yield x, y


def step(task: str, model: Any, x: dict[str, Any], y: Any) -> Any:
    """Predict, then learn."""
    if task == "anomaly":
        said = model.score_one(x)
        model.learn_one(x)
        return said
    if task == "regression" or not hasattr(model, "predict_proba_one"):
        said = model.predict_one(x)
    else:
        try:
            said = model.predict_proba_one(x)
        except NotImplementedError:
            said = model.predict_one(x)
    model.learn_one(x, y)
    return said


def learned(name: str, count: int) -> Any:
    task, make = MODELS[name]
    model = make()
    for x, y in events(name, task, count):
        step(task, model, x, y)
    return model


def digest(model: Any) -> str:
    """As a checkpoint takes it: of what was pickled."""
    return structure_digest(loads(pickle.dumps(model, protocol=5)))


@pytest.mark.parametrize("name", list(MODELS))
def test_replay_equals_run_with_a_checkpoint_in_the_middle(name: str) -> None:
    task, _ = MODELS[name]
    through = learned(name, EVENTS_BEFORE)
    restored = loads(RiverPickler().dumps(through))
    assert type(restored) is type(through)
    assert digest(restored) == digest(through)

    after = list(events(name, task, EVENTS_BEFORE + EVENTS_AFTER))[EVENTS_BEFORE:]
    said_through = [step(task, through, x, y) for x, y in after]
    said_restored = [step(task, restored, x, y) for x, y in after]
    assert said_restored == said_through
    if name in REPEATABLE:
        assert digest(restored) == digest(through)


@pytest.mark.parametrize("name", REPEATABLE)
def test_the_digest_is_of_the_events_learned(name: str) -> None:
    before = digest(learned(name, 120))
    assert digest(learned(name, 120)) == before, "another run over the same events"
    assert digest(learned(name, 121)) != before, "one more event"


def test_the_digest_is_the_same_in_another_process() -> None:
    """Other addresses, other entropy, the same hash seed."""
    program = f"""
import runpy
test = runpy.run_path({__file__!r})
print([test["digest"](test["learned"](name, 60)) for name in test["REPEATABLE"]])
"""
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", program]
    printed = [
        subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=120
        ).stdout
        for _ in range(2)
    ]
    assert printed[0] == printed[1]
    assert printed[0].count("'") == 2 * len(REPEATABLE)


def stock() -> Iterator[Any]:
    """Every part of River that learns, with the parameters by which River tests it."""
    for module_name in dir(river.api):
        module = getattr(river.api, module_name)
        if not inspect.ismodule(module) or module_name in ("checks", "datasets", "evaluate", "stream"):
            continue
        for class_name, each in inspect.getmembers(module, inspect.isclass):
            if inspect.isabstract(each) or not (hasattr(each, "learn_one") or hasattr(each, "update")):
                continue
            defaults = hasattr(each, "_unit_test_params")
            try:
                models = [each(**p) for p in each._unit_test_params()] if defaults else [each()]
            except (TypeError, ValueError, RuntimeError):
                continue  # it needs arguments of its own; those that matter are in MODELS
            yield pytest.param(models, id=f"{module_name}.{class_name}")


STOCK = list(stock())


@pytest.mark.parametrize("models", STOCK)
def test_every_stock_model_is_restored(models: list[Any]) -> None:
    """Whatever is refused here would be found out at a restart, after days of learning."""
    for model in models:
        model = copy.deepcopy(model)
        feed(model)
        restored = loads(pickle.dumps(model, protocol=5))
        assert structure_digest(restored) == digest(model)


def test_the_stock_is_large() -> None:
    assert len(STOCK) > 200


def feed(model: Any) -> None:
    """Give a model events as far as it takes these; what it holds by then is restored all the same."""
    draw = random.Random(5)
    for _ in range(30):
        x = {feature: draw.gauss(0, 1) for feature in "abc"}
        y = (
            x["a"]
            if hasattr(model, "predict_one") and not hasattr(model, "predict_proba_one")
            else x["a"] > 0
        )
        learn = getattr(model, "learn_one", None) or model.update
        for arguments in ((x, y), (x,), (x["a"],), (x["a"] > 0, x["b"] > 0)):
            try:
                learn(*arguments)
                break
            except (TypeError, AttributeError, ValueError, KeyError, ZeroDivisionError, AssertionError):
                continue
