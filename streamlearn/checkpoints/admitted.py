"""What an unpickled model may name, beside the classes that River itself defines: one pair a line.

A name gets here only because a stock model of River needs it, and none that imports, evaluates, opens a
file, starts a process or looks an attribute up by a name of the writer's choosing. All of them together
build data; ``functools.partial`` and ``copy.deepcopy`` call, but only what was admitted itself, which
a pickle can do anyway.
"""

from __future__ import annotations

Pair = tuple[str, str]

# Packages below `river`, at any depth, that are no part of a model: they download, unpack, read files, open sockets.
# `list(x)` of a `river.bandit.datasets.NewsArticles` whose pickled state names a URL would fetch and unpack it.
RIVER_EXCLUDED = frozenset({"checks", "datasets", "envs", "evaluate", "stream"})

STANDARD_LIBRARY: frozenset[Pair] = frozenset(
    {
        # Values, and the factories of defaultdict(int), defaultdict(float), ...
        *(
            ("builtins", name)
            for name in (
                *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int"),
                *("list", "object", "range", "set", "slice", "str", "tuple"),
            )
        ),
        ("builtins", "iter"),  # multiclass.OutputCodeClassifier holds an iterator over its codes
        ("collections", "Counter"),
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("collections", "deque"),
        ("copy", "deepcopy"),  # partial(deepcopy, model): linear_model.SoftmaxRegression, multiclass
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("datetime", "timezone"),
        # defaultdict(partial(defaultdict, float)) in every confusion matrix, so in ARF, SRP, bagging;
        # partial(defaultdict, make) in naive_bayes.GaussianNB. It binds what is admitted, nothing else.
        ("functools", "partial"),
        ("numbers", "Integral"),  # compose.SelectType
        ("numbers", "Number"),
        ("numbers", "Real"),
        ("operator", "itemgetter"),  # feature_extraction.BagOfWords(on=...)
        ("random", "Random"),
        ("statistics", "NormalDist"),  # tree.HoeffdingAdaptiveTreeRegressor
    }
)

NUMPY: frozenset[Pair] = frozenset(
    {
        ("numpy", "array"),  # partial(array, [a]): preprocessing.LDA
        ("numpy", "dtype"),
        ("numpy", "ndarray"),  # the first argument of _reconstruct
        ("numpy", "ones"),  # partial(ones, n): preprocessing.LDA
        ("numpy._core.multiarray", "_reconstruct"),  # arrays of objects, or not contiguous
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),  # all other arrays under protocol 5
        ("numpy.random._mt19937", "MT19937"),
        ("numpy.random._pcg64", "PCG64"),
        ("numpy.random._pcg64", "PCG64DXSM"),
        ("numpy.random._philox", "Philox"),
        ("numpy.random._sfc64", "SFC64"),
        ("numpy.random._pickle", "__bit_generator_ctor"),
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("numpy.random.bit_generator", "SeedSequence"),
        ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    }
)

# River's own functions, which some stock model keeps as a value. A dotted one is a static method.
RIVER_FUNCTIONS: frozenset[Pair] = frozenset(
    {
        # neighbors.LazySearch, neighbors.SWINN: the default distance
        ("river._river_rust.vectordict", "euclidean_distance_dict"),
        # neighbors.KNNClassifier, neighbors.KNNRegressor, anomaly.LocalOutlierFactor: the default distance
        ("river._river_rust.vectordict", "euclidean_distance_tuple"),
        # neighbors with partial(minkowski_distance, p=...)
        ("river.utils.math", "minkowski_distance"),
        # feature_extraction.BagOfWords, TFIDF: the steps that a text goes through
        ("river.feature_extraction.vectorize", "find_all_ngrams"),
        ("river.feature_extraction.vectorize", "remove_stop_words"),
        ("river.feature_extraction.vectorize", "strip_accents_unicode"),
        ("river.feature_extraction.vectorize", "tokenize_using_regex_pattern"),
        # forest.OXTRegressor: what it watches for drift
        ("river.forest.online_extra_trees", "ExtraTrees._detection_mode_all"),
        ("river.forest.online_extra_trees", "ExtraTrees._detection_mode_drop"),
        ("river.forest.online_extra_trees", "ExtraTrees._detection_mode_off"),
        # metrics.AdjustedMutualInfo, metrics.NormalizedMutualInfo: the kind of mean
        ("river.metrics.mutual_info", "_average_arithmetic"),
        ("river.metrics.mutual_info", "_average_geometric"),
        # naive_bayes.GaussianNB: the factory of its distributions
        ("river.naive_bayes.gaussian", "GaussianNB._make_gaussian"),
        # regression trees: how a split's statistics take a target, single or multiple
        ("river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_multivariate"),
        ("river.tree.splitter.ebst_splitter", "EBSTNode._update_estimator_univariate"),
        ("river.tree.splitter.nominal_splitter_reg", "NominalSplitterReg._update_estimator_multivariate"),
        ("river.tree.splitter.nominal_splitter_reg", "NominalSplitterReg._update_estimator_univariate"),
    }
)

# River's classes within classes: their names are dotted, so they stand here one by one.
RIVER_NESTED: frozenset[Pair] = frozenset(
    {
        ("river.cluster.denstream", "DenStream.BufferItem"),
        ("river.cluster.textclust", "TextClust.Distances"),
        ("river.cluster.textclust", "TextClust.MicroCluster"),
        ("river.cluster.textclust", "TextClust.TfContainer"),
    }
)

# Methods that some stock model keeps bound, as (module, class that defines it, method). A bound method
# is pickled as a call of `getattr`; it is looked up here, and in the class alone.
BOUND_METHODS: frozenset[tuple[str, str, str]] = frozenset(
    {
        ("builtins", "str", "lower"),  # feature_extraction.BagOfWords
        ("random", "Random", "gauss"),  # cluster.KMeans
        ("river.bandit.thompson", "ThompsonSampling", "_clone_reward_obj_with_seed"),
        ("river.base.base", "Base", "clone"),  # bandit policies, model_selection.BanditClassifier
        ("river.drift.dummy", "DummyDriftDetector", "_fixed_trigger"),
        ("river.drift.dummy", "DummyDriftDetector", "_random_trigger"),
        ("river.drift.page_hinkley", "PageHinkley", "_test_both"),
        ("river.drift.page_hinkley", "PageHinkley", "_test_decrease"),
        ("river.drift.page_hinkley", "PageHinkley", "_test_increase"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier", "_leveraging_bag"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier", "_leveraging_bag_half"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier", "_leveraging_bag_me"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier", "_leveraging_bag_wt"),
        ("river.ensemble.bagging", "LeveragingBaggingClassifier", "_leveraging_subag"),
        ("river.feature_extraction.kernel_approx", "RBFSampler", "_random_weights"),
        ("river.linear_model.pa", "BasePA", "_calc_tau_0"),
        ("river.linear_model.pa", "BasePA", "_calc_tau_1"),
        ("river.linear_model.pa", "BasePA", "_calc_tau_2"),
        ("river.multiclass.occ", "OutputCodeClassifier", "_next_code"),
        ("river.preprocessing.random_projection", "GaussianRandomProjector", "_rand_gauss"),
        ("river.preprocessing.random_projection", "SparseRandomProjector", "_rand_weights_for_feature"),
        ("river.preprocessing.scale_target", "TargetMinMaxScaler", "_scale"),
        ("river.preprocessing.scale_target", "TargetMinMaxScaler", "_unscale"),
        ("river.preprocessing.scale_target", "TargetStandardScaler", "_scale"),
        ("river.preprocessing.scale_target", "TargetStandardScaler", "_unscale"),
        # multi-target regression trees
        ("river.tree.splitter.qo_splitter", "Slot", "_update_estimator_multivariate"),
        ("river.tree.splitter.qo_splitter", "Slot", "_update_estimator_univariate"),
    }
)

EXACT: frozenset[Pair] = STANDARD_LIBRARY | NUMPY | RIVER_FUNCTIONS | RIVER_NESTED
