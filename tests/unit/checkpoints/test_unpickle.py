"""The unpickler: exact names, and what a hostile pickle would try instead."""

from __future__ import annotations

import builtins
import collections
import copy
import datetime
import functools
import operator
import os
import pickle
import random
import struct
from typing import Any

import numpy as np
import pytest
from river import drift, linear_model, stats

from streamlearn.checkpoints.admitted import BOUND_METHODS, EXACT
from streamlearn.checkpoints.structure import structure_digest
from streamlearn.checkpoints.unpickle import admit_pairs, admitted_by, loads
from streamlearn.errors import CheckpointRefused


class Mine:
    """A user's own model."""

    def __init__(self) -> None:
        self.weights = [0.5]
        self.hook = self.method

    def method(self) -> str:
        return "mine"


def named(module: str, name: str) -> bytes:
    """A pickle that is one name."""
    return b"\x80\x04" + text(module) + text(name) + b"\x93."


def text(value: str) -> bytes:
    return b"\x8c" + struct.pack("<B", len(value.encode())) + value.encode()


def called(callee: bytes, *arguments: bytes) -> bytes:
    """Opcodes that call what the first opcodes leave on the stack."""
    return callee + b"(" + b"".join(arguments) + b"tR"


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def whole(opcodes: bytes) -> bytes:
    return b"\x80\x04" + opcodes + b"."


REFUSED = [
    ("os", "system"),
    ("posix", "system"),
    ("subprocess", "Popen"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "type"),
    ("builtins", "compile"),
    ("builtins", "setattr"),
    ("builtins", "vars"),
    ("importlib", "import_module"),
    ("runpy", "run_path"),
    ("pickle", "loads"),
    ("functools", "reduce"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("types", "CodeType"),
    ("types", "FunctionType"),
    ("webbrowser", "open"),
    # What River's modules merely import.
    ("river.utils.pandas", "importlib"),
    ("river.tree.nodes.sgt_nodes", "sys"),
    ("river.feature_extraction.agg", "functools"),
    ("river.base.base", "inspect"),
    ("river.tree.hoeffding_tree", "io"),
    ("river.compose.pipeline", "contextlib"),
    # Dotted names, through what River's modules import and through its classes.
    ("river.utils.pandas", "importlib.import_module"),
    ("river.tree.nodes.sgt_nodes", "sys.modules"),
    ("river.linear_model.log_reg", "LogisticRegression.learn_one"),
    ("river.linear_model.log_reg", "LogisticRegression.__init__.__globals__"),
    ("collections", "OrderedDict.fromkeys"),
    # River's own, but no part of a model.
    ("river.datasets.phishing", "Phishing"),
    ("river.stream.cache", "Cache"),
    ("river.checks", "check_estimator"),
    ("river.evaluate.tracks", "Track"),
    ("river.utils.math", "dot"),
    # Re-exported: River defines it, elsewhere.
    ("river.linear_model", "LogisticRegression"),
    ("river", "linear_model"),
    ("riverside", "Model"),
    ("river.", "x"),
    # NumPy's helpers that run text or load files.
    ("numpy", "load"),
    ("numpy", "memmap"),
    ("numpy", "fromfile"),
    ("numpy", "save"),
    ("numpy", "vectorize"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.testing", "rundocs"),
    ("numpy.f2py", "compile"),
    ("numpy.ctypeslib", "load_library"),
    ("numpy.lib._utils_impl", "safe_eval"),
    ("streamlearn.checkpoints.unpickle", "loads"),
]


@pytest.mark.parametrize(("module", "attribute"), REFUSED)
def test_what_is_not_admitted_is_refused_by_name(module: str, attribute: str) -> None:
    with pytest.raises(CheckpointRefused) as refused:
        loads(named(module, attribute))
    if module != "river.":
        assert module in str(refused.value)
        assert attribute in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize("protocol", range(6))
def test_the_usual_gadget_does_not_run(protocol: int, tmp_path: Any) -> None:
    class Gadget:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'owned'}",)

    data = pickle.dumps({"model": Gadget()}, protocol=protocol)
    with pytest.raises(CheckpointRefused, match="system"):
        loads(data)
    assert not (tmp_path / "owned").exists()
    pickle.loads(data)  # the gadget does work where nothing stands in its way
    assert (tmp_path / "owned").exists()


def test_every_admitted_name_exists() -> None:
    for module, attribute in sorted(EXACT):
        assert loads(named(module, attribute)) is not None, (module, attribute)


def test_every_bound_method_that_is_listed_exists() -> None:
    for module, definer, method in sorted(BOUND_METHODS):
        assert method in vars(getattr(__import__(module, fromlist=[definer]), definer))


def test_nothing_admitted_runs_code_or_looks_up() -> None:
    forbidden = {
        getattr(builtins, each) for each in ("eval", "exec", "compile", "getattr", "__import__", "open")
    }
    forbidden |= {operator.attrgetter, operator.methodcaller, functools.reduce, os.system}
    for module, attribute in EXACT:
        assert loads(named(module, attribute)) not in forbidden


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "text", b"bytes", {1: (2,)}],
        {1, 2},
        frozenset({"a"}),
        complex(1, 2),
        range(3),
        slice(1, 2),
        bytearray(b"x"),
        collections.deque([1, 2], maxlen=3),
        collections.Counter("abca"),
        collections.OrderedDict(a=1),
        collections.defaultdict(float, a=1.0),
        datetime.datetime(2013, 1, 1, tzinfo=datetime.UTC),
        datetime.timedelta(seconds=3),
        np.float64(0.5),
        np.arange(6).reshape(2, 3),
        np.arange(6).reshape(2, 3)[:, ::2],
        np.asfortranarray(np.ones((2, 2))),
        np.array([1, "a"], dtype=object),
        np.dtype("float32"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_values_are_read_back(value: Any, protocol: int) -> None:
    restored = loads(pickle.dumps(value, protocol=protocol))
    assert type(restored) is type(value)
    assert structure_digest(restored) == structure_digest(value)


@pytest.mark.parametrize(
    "generator",
    [
        random.Random(1),
        np.random.RandomState(1),
        np.random.default_rng(1),
        np.random.Generator(np.random.Philox(1)),
        np.random.Generator(np.random.SFC64(1)),
        np.random.Generator(np.random.PCG64DXSM(1)),
    ],
    ids=lambda generator: type(getattr(generator, "bit_generator", generator)).__name__,
)
def test_random_generators_go_on_where_they_were(generator: Any) -> None:
    generator.normal(0, 1) if hasattr(generator, "normal") else generator.random()
    restored = loads(pickle.dumps(generator))
    draw = "random" if not isinstance(generator, np.random.RandomState) else "random_sample"
    assert [getattr(restored, draw)() for _ in range(5)] == [getattr(generator, draw)() for _ in range(5)]


def test_getattr_gives_the_listed_methods_alone() -> None:
    detector = drift.PageHinkley()
    assert loads(pickle.dumps(detector))._test_drift.__func__ is drift.PageHinkley._test_both
    with pytest.raises(CheckpointRefused, match=r"PageHinkley\.update"):
        loads(pickle.dumps(detector.update))
    for attribute in ("__class__", "__globals__", "__init__", "__reduce_ex__", "nothing"):
        attack = called(
            name("builtins", "getattr"), name("river.drift.page_hinkley", "PageHinkley"), text(attribute)
        )
        with pytest.raises(CheckpointRefused, match="which is not admitted"):
            loads(whole(attack))


def test_a_bound_method_is_taken_from_the_class_not_from_the_instance() -> None:
    detector = drift.PageHinkley()
    detector.__dict__["_test_both"] = copy.deepcopy
    bound = pickle.dumps(drift.PageHinkley._test_both.__get__(detector))
    assert loads(bound).__func__ is drift.PageHinkley._test_both


def test_a_pickle_that_alters_a_class_is_refused_and_undone() -> None:
    learn_one = stats.Mean.update
    mean = name("river.stats.mean", "Mean")
    state = b"N}(" + text("update") + name("copy", "deepcopy") + text("extra") + b"Nu\x86"  # (None, {...})
    with pytest.raises(CheckpointRefused, match=r"Mean, and alters it"):
        loads(whole(mean + state + b"b"))
    assert stats.Mean.update is learn_one
    assert not hasattr(stats.Mean, "extra")


def test_a_pickle_that_alters_a_class_and_then_fails_is_undone_too() -> None:
    learn_one = stats.Mean.update
    mean = name("river.stats.mean", "Mean")
    state = b"N}(" + text("update") + name("copy", "deepcopy") + b"u\x86"
    with pytest.raises(CheckpointRefused):
        loads(whole(mean + state + b"b" + name("os", "system")))
    assert stats.Mean.update is learn_one


def test_a_pickle_that_alters_a_function_is_refused_and_undone() -> None:
    defaults = copy.deepcopy.__defaults__
    state = b"N}(" + text("__defaults__") + b"(NNtu\x86"
    with pytest.raises(CheckpointRefused, match="deepcopy, and alters it"):
        loads(whole(name("copy", "deepcopy") + state + b"b"))
    assert copy.deepcopy.__defaults__ is defaults


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x05",
        b"garbage",
        b"\x80\x05K\x01",
        pickle.dumps(linear_model.LogisticRegression())[:-20],
        whole(called(name("random", "Random"), b"N", b"N", b"N")),
        whole(called(name("river.stats.quantile", "Quantile"), text("no number"))),
        whole(b"P1\n"),
    ],
    ids=["empty", "no opcode", "garbage", "no end", "cut", "arguments", "constructor", "persistent id"],
)
def test_bytes_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(CheckpointRefused, match="cannot be rebuilt"):
        loads(data)


def test_own_classes_are_admitted_by_exact_name() -> None:
    data = pickle.dumps(Mine())
    with pytest.raises(CheckpointRefused, match="Mine") as refused:
        loads(data)
    pair = f"{Mine.__module__}:Mine"
    assert f'add "{pair}"' in refused.value.remedy
    restored = loads(data, admit_pairs([pair]))
    assert restored.weights == [0.5]
    assert restored.hook() == "mine"


def test_admitting_a_class_admits_nothing_that_its_module_imports() -> None:
    with pytest.raises(CheckpointRefused, match="does not define"):
        loads(named("shutil", "os"), admit_pairs(["shutil:os"]))
    with pytest.raises(CheckpointRefused):
        loads(named(Mine.__module__, "Mine.method"), frozenset({(Mine.__module__, "Mine.method")}))


def test_the_config_of_a_checkpoint_says_what_is_admitted() -> None:
    config = {"models": [{"name": "a", "admit": ["m:A", "m.n:B"]}, {"name": "b"}]}
    assert admitted_by(config) == {("m", "A"), ("m.n", "B")}
    assert admitted_by({}) == frozenset()
