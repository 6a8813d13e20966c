"""Config -> River object: what can be named, how it is built, how it is seeded, what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from river import compose, ensemble, linear_model, neighbors, optim, preprocessing, stats

from streamlearn.errors import ConfigError
from streamlearn.learners.river_build import build, check_task
from streamlearn.learners.river_names import catalogue


def test_one_step_is_the_bare_object_and_several_a_pipeline() -> None:
    assert type(build(["linear_model.LogisticRegression"], 0)) is linear_model.LogisticRegression
    model = build(["preprocessing.StandardScaler", {"use": "linear_model.LogisticRegression", "l2": 1e-4}], 0)
    assert list(model.steps) == ["StandardScaler", "LogisticRegression"]
    assert model["LogisticRegression"].l2 == 1e-4


def test_arguments_nest_in_tables_and_lists() -> None:
    model = build(
        [
            {
                "use": "compose.TransformerUnion",
                "transformers": [
                    {
                        "use": "compose.Pipeline",
                        "steps": [
                            {"use": "compose.Select", "keys": ["a", "b"]},
                            "preprocessing.StandardScaler",
                        ],
                    },
                    {"use": "feature_extraction.Agg", "on": "a", "by": "c", "how": {"use": "stats.Mean"}},
                ],
            },
            {
                "use": "ensemble.EWARegressor",
                "models": [
                    {"use": "linear_model.LinearRegression", "optimizer": {"use": "optim.Adam", "lr": 0.5}},
                    {"use": "linear_model.LinearRegression", "loss": {"use": "optim.losses.Huber"}},
                ],
            },
        ],
        0,
    )
    union, final = model.steps.values()
    assert list(union["Pipeline"]["Select"].keys) == ["a", "b"]
    assert isinstance(union["Agg"].how, stats.Mean)
    assert isinstance(final, ensemble.EWARegressor)
    assert final.models[0].optimizer.lr.learning_rate == 0.5
    assert isinstance(final.models[1].loss, optim.losses.Huber)


def test_a_pipeline_inside_a_pipeline_is_flattened() -> None:
    """River would hand the untransformed event to what follows an inner pipeline when it learns."""
    inner = {
        "use": "compose.Pipeline",
        "steps": ["preprocessing.StandardScaler", "preprocessing.MinMaxScaler"],
    }
    model = build([inner, "linear_model.LogisticRegression"], 0)
    assert list(model.steps) == ["StandardScaler", "MinMaxScaler", "LogisticRegression"]


def test_select_keeps_the_config_order_also_when_unpickled() -> None:
    """A set's order, which decides a sum's last bits, is neither the config's nor stable under pickling."""
    names = [f"feature_{index}" for index in range(30)]
    select = build([{"use": "compose.Select", "keys": names}], 0)
    x = dict.fromkeys(sorted(names), 1.0)
    union = compose.TransformerUnion(select)
    for selector in (select, pickle.loads(pickle.dumps(select)), union["Select"]):
        assert list(selector.transform_one(x)) == names


def test_select_type_takes_the_types_that_a_feature_has() -> None:
    x = {"a": 1.0, "b": "text", "c": 2}
    assert build([{"use": "compose.SelectType", "types": ["number"]}], 0).transform_one(x) == {
        "a": 1.0,
        "c": 2,
    }
    assert build([{"use": "compose.SelectType", "types": ["text"]}], 0).transform_one(x) == {"b": "text"}
    with pytest.raises(ConfigError, match=r"'os\.system' is no type"):
        build([{"use": "compose.SelectType", "types": ["os.system"]}], 0)


# --------------------------------------------------------------------------------------------- seeding


def test_every_seed_is_derived_from_the_stream_and_the_place() -> None:
    def seeds(seed: int) -> tuple[int, int, int]:
        bag = {"use": "ensemble.BaggingClassifier", "model": {"use": "forest.ARFClassifier", "n_models": 1}}
        model = build([{"use": "preprocessing.SparseRandomProjector"}, bag], seed)
        projector, bagging = model.steps.values()
        return projector.seed, bagging.seed, bagging.model.seed

    assert seeds(7) == seeds(7)
    assert len({*seeds(7), *seeds(8)}) == 6


def test_an_explicit_seed_wins() -> None:
    assert build([{"use": "forest.ARFClassifier", "seed": 3}], 0).seed == 3


def test_what_a_default_draws_from_is_seeded_too() -> None:
    model = build(["neighbors.KNNClassifier"], 0)
    assert isinstance(model.engine, neighbors.SWINN)
    assert model.engine.seed is not None
    assert model.engine.seed == build(["neighbors.KNNClassifier"], 0).engine.seed


def test_nothing_that_can_be_built_draws_from_the_clock() -> None:
    """Two builds of any class are the same bytes: an unseeded generator would differ."""
    # The one never draws from its generator; the other is a clusterer, and fits no task.
    known = {"anomaly.GaussianScorer", "cluster.STREAMKMeans"}
    built = 0
    for path in catalogue().keys() - known:
        try:
            first, second = build([path], 5), build([path], 5)
        except ConfigError:
            continue  # it needs arguments
        try:
            first_bytes = pickle.dumps(first)
        except (TypeError, AttributeError, pickle.PicklingError):
            continue  # such a class is refused by the learner
        assert first_bytes == pickle.dumps(second), path
        built += 1
    assert built > 150


# --------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("linear_model.LogisticRegresion", r"pipeline\[0\].*did you mean 'linear_model.LogisticRegression'"),
        ("LogisticRegression", "did you mean 'linear_model.LogisticRegression'"),
        ("river.linear_model.LogisticRegression", "did you mean 'linear_model.LogisticRegression'"),
        ("preprocessing.standardscaler", "did you mean 'preprocessing.StandardScaler'"),
        ({"l2": 1.0}, "a step is a path, or a table with `use`"),
        (7, "a step is a path, or a table with `use`"),
        (
            {"use": "linear_model.LogisticRegression", "l3": 1.0},
            r"unknown argument 'l3' \(did you mean 'l2'\?\)",
        ),
        ({"use": "linear_model.LogisticRegression", "l2": "much"}, "l2 = 'much' is not a number"),
        ({"use": "preprocessing.StandardScaler", "with_std": 1}, "with_std = 1 is not true or false"),
        ({"use": "compose.Select", "keys": "a"}, "keys = 'a' is not a list"),
        ({"use": "ensemble.BaggingClassifier"}, "the argument 'model' is missing"),
        ({"use": "linear_model.LogisticRegression", "l1": 1.0, "l2": 1.0}, "River refuses these arguments"),
        (
            {"use": "linear_model.LogisticRegression", "optimizer": {"use": "optim.Adm"}},
            r"pipeline\[0\].optimizer.*did you mean 'optim.Adam'",
        ),
        ({"use": "compose.Pipeline", "steps": []}, "a pipeline without steps"),
        ({"use": "compose.FuncTransformer", "func": "print"}, "cannot be used here"),
    ],
)
def test_a_wrong_step_is_named_with_its_remedy(step: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        build([step], 0)
    assert refused.value.remedy


def test_unknown_arguments_list_the_valid_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        build([{"use": "preprocessing.StandardScaler", "mean": True}], 0)
    assert refused.value.remedy == "it takes with_std, window_size"


@pytest.mark.parametrize(
    "path",
    [
        "compose.pipeline.itertools.count",
        "compose.pipeline.Pipeline",
        "utils.math.collections.deque",
        "base.Base.clone",
        "compose.learn_during_predict",
        "linear_model.LogisticRegression.clone",
        "linear_model.base.np.ndarray",
        "datasets.Phishing",
        "drift.datasets.AirlinePassengers",
        "stream.Cache",
        "checks.check_estimator",
        "os.system",
        "..os.system",
        "",
        "stats.base.Univariate",
    ],
)
def test_nothing_but_river_s_own_exported_classes_can_be_named(path: str) -> None:
    with pytest.raises(ConfigError, match="River has no class"):
        build([path], 0)


def test_the_catalogue_holds_river_s_classes_only() -> None:
    for path, cls in catalogue().items():
        assert isinstance(cls, type), path
        assert cls.__module__.split(".")[:2] == ["river", path.split(".")[0]], path


def test_a_model_before_the_last_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="LogisticRegression stands before the last step"):
        build(["linear_model.LogisticRegression", "preprocessing.StandardScaler"], 0)


# ------------------------------------------------------------------------------------------------ tasks


@pytest.mark.parametrize(
    ("step", "task"),
    [
        ("linear_model.LogisticRegression", "binary"),
        ("naive_bayes.GaussianNB", "binary"),
        ("naive_bayes.GaussianNB", "multiclass"),
        (
            {
                "use": "multiclass.OneVsRestClassifier",
                "classifier": {"use": "linear_model.LogisticRegression"},
            },
            "multiclass",
        ),
        ("tree.HoeffdingTreeRegressor", "regression"),
        ("anomaly.HalfSpaceTrees", "anomaly"),
        (
            {
                "use": "anomaly.QuantileFilter",
                "anomaly_detector": {"use": "anomaly.HalfSpaceTrees"},
                "q": 0.9,
            },
            "anomaly",
        ),
    ],
)
def test_a_fitting_model_passes(step: Any, task: Any) -> None:
    check_task(build(["preprocessing.StandardScaler", step], 0), task)


@pytest.mark.parametrize(
    ("step", "task", "message"),
    [
        ("linear_model.LinearRegression", "binary", "it is no classifier"),
        ("preprocessing.StandardScaler", "binary", "it is no classifier"),
        ("cluster.KMeans", "binary", "it is no classifier"),
        ("linear_model.LogisticRegression", "multiclass", "it knows two classes only"),
        ("linear_model.LogisticRegression", "regression", "it is no regressor"),
        ("tree.ISOUPTreeRegressor", "regression", "it predicts many targets at once"),
        ("linear_model.LogisticRegression", "anomaly", "it is no anomaly detector"),
        ("anomaly.GaussianScorer", "anomaly", "together with its label"),
        (
            {
                "use": "anomaly.ThresholdFilter",
                "anomaly_detector": {"use": "anomaly.GaussianScorer"},
                "threshold": 1,
            },
            "anomaly",
            "together with its label",
        ),
        (
            {"use": "active.EntropySampler", "classifier": {"use": "linear_model.LogisticRegression"}},
            "binary",
            "asks for labels",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_task_is_refused(step: Any, task: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        check_task(build([step], 0), task)
    assert "end the pipeline with one, such as" in refused.value.remedy


def test_building_alters_no_class() -> None:
    assert compose.Select("a").keys == {"a"}
    assert preprocessing.StandardScaler().with_std is True
