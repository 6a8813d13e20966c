"""What the structural digest tells apart, and what it does not."""

from __future__ import annotations

import collections
import functools
import math
import pickle
import random
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from river import proba

from streamlearn.checkpoints.structure import array_digest, structure_digest

OTHER_NAN = struct.unpack(">d", b"\x7f\xf8\x00\x00\x00\x00\x00\x01")[0]


class Node:
    def __init__(self, value: Any = None, child: Any = None) -> None:
        self.value = value
        self.child = child


class Slotted:
    __slots__ = ("left", "right")


DIFFERENT = [
    *(None, True, False, 0, 1, -1, 255, 256, 2**64, -(2**64), 0.0, -0.0, 1.0, math.nan, math.inf, 1j),
    *("", "1", "a", b"", b"a", bytearray(b"a"), "\ud800", ..., (), (1,), (1, 2), ((1,), 2), [], [1], [[1]]),
    *({}, {1: 2}, {2: 1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, set(), {1}, frozenset({1}), {1, 2}),
    *(np.float64(1.0), np.float32(1.0), np.int64(1), np.bool_(True), np.dtype("f4"), np.dtype("f8")),
    *(np.array([1.0]), np.array([[1.0]]), np.array([1]), np.array([]), np.array(1.0), np.array([1.0, 2.0])),
    *(np.array([1], dtype=object), np.array(["a"]), np.zeros((0, 2)), np.zeros((2, 0))),
    *(int, float, Node, structure_digest, len, math.sqrt, random.Random(1), random.Random(2)),
    *(
        collections.deque([1]),
        collections.deque([1], 2),
        collections.Counter("a"),
        collections.OrderedDict(a=1),
    ),
    *(collections.defaultdict(int, a=1), collections.defaultdict(float, a=1)),
    *(functools.partial(int), functools.partial(int, "1"), Node(1), Node(1, Node()), Node(1, None).child),
    *(np.random.default_rng(1), np.random.default_rng(2), np.random.RandomState(1), str.lower, [].append),
]


def test_whatever_differs_has_another_digest() -> None:
    by_digest: dict[str, Any] = {}
    for value in DIFFERENT[:-1]:
        digest = structure_digest(value)
        if digest in by_digest:
            assert value is None, f"{value!r} has the digest of {by_digest[digest]!r}"
        by_digest[digest] = value


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: repr(value).partition(" at ")[0][:40])
def test_a_copy_has_the_same_digest(value: Any) -> None:
    if getattr(value, "__self__", None) == []:
        assert structure_digest(value) == structure_digest([].append)
    else:
        assert structure_digest(pickle.loads(pickle.dumps(value))) == structure_digest(value)


def test_nan_is_one_value_whatever_its_payload() -> None:
    assert structure_digest(OTHER_NAN) == structure_digest(math.nan)
    one, other = np.array([1.0, math.nan]), np.array([1.0, OTHER_NAN])
    assert one.tobytes() != other.tobytes()
    assert array_digest(one) == array_digest(other)
    assert array_digest(np.array([1j * math.nan])) == array_digest(np.array([1j * OTHER_NAN]))


def test_the_same_object_twice_is_not_two_equal_ones() -> None:
    shared = [1.0]
    assert structure_digest([shared, shared]) != structure_digest([[1.0], [1.0]])
    assert structure_digest([shared, shared]) == structure_digest(
        pickle.loads(pickle.dumps([shared, shared]))
    )
    node = Node([1])
    assert structure_digest((node, node)) != structure_digest((Node([1]), Node([1])))


def test_equal_values_may_be_one_object_or_two() -> None:
    one, other = ("ab", 1.5, 10**30), pickle.loads(pickle.dumps(("ab", 1.5, 10**30)))
    assert one is not other
    assert structure_digest([one, one, *one, *one]) == structure_digest([one, other, *one, *other])


def test_cycles_end() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    node = Node()
    node.child = (node, ring)
    longer: list[Any] = [1, [1]]
    longer[1].append(longer)
    assert structure_digest(node) == structure_digest(pickle.loads(pickle.dumps(node)))
    assert structure_digest(ring) != structure_digest(longer)


def test_a_deep_tree_is_no_recursion() -> None:
    root = node = Node(0)
    for value in range(20_000):
        node.child = Node(value)
        node = node.child
    digest = structure_digest(root)
    node.value = "another leaf"
    assert structure_digest(root) != digest
    while root is not None:  # or its end would recurse
        following, root.child = root.child, None
        root = following


def test_tuples_within_tuples_are_not_walked_twice() -> None:
    nested: Any = (1.0,)
    for _ in range(200):
        nested = (nested, nested)
    assert structure_digest(nested) != structure_digest((nested,))


def test_attributes_have_no_order() -> None:
    one, other = Node(1, 2), Node.__new__(Node)
    other.child, other.value = 2, 1
    assert list(vars(one)) != list(vars(other))
    assert structure_digest(one) == structure_digest(other)
    assert structure_digest(one) != structure_digest(Node(2, 1))


def test_slots_are_state() -> None:
    one, other = Slotted(), Slotted()
    one.left, other.left = 1, 2
    assert structure_digest(one) != structure_digest(other)
    other.left = 1
    assert structure_digest(one) == structure_digest(other)


def test_sets_have_no_order() -> None:
    forward, backward = set(), set()
    for value in (8, 16, 24, "a", (1, 2), frozenset({3})):
        forward.add(value)
    for value in (frozenset({3}), (1, 2), "a", 24, 16, 8):
        backward.add(value)
    assert list(forward) != list(backward), "or this shows nothing"
    assert structure_digest(forward) == structure_digest(backward)


def test_the_digest_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from streamlearn.checkpoints.structure import structure_digest as digest\n"
        "words = {str(n) for n in range(50)}\n"
        "print(digest([words, frozenset(words), {'a': words}]), next(iter(words)))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.split()
        for seed in "1234"
    ]
    assert len({digest for digest, _ in printed}) == 1
    assert len({first for _, first in printed}) > 1, "or the seeds did nothing"


def test_a_generator_that_was_never_seeded_is_no_state() -> None:
    assert structure_digest(proba.Gaussian()) == structure_digest(proba.Gaussian())
    assert structure_digest(proba.Gaussian(seed=1)) != structure_digest(proba.Gaussian(seed=2))
    seeded, drawn = proba.Gaussian(seed=1), proba.Gaussian(seed=1)
    drawn._rng.random()
    assert structure_digest(seeded) != structure_digest(drawn)


def test_an_array_is_its_values_not_its_layout() -> None:
    array = np.arange(24.0).reshape(4, 6)
    for layout in (np.asfortranarray(array), array.copy()[::1], np.ascontiguousarray(array.T).T):
        assert array_digest(layout) == array_digest(array)
    assert array_digest(array[::-1]) != array_digest(array)
    assert array_digest(array.T) != array_digest(array)


def test_the_digest_is_pinned() -> None:
    """It stands in people's logs: a change of it is a change of the format."""
    value = {"weights": [0.5, -1.0], "seen": {"b", "a"}, "counts": collections.Counter("aab"), "n": 3}
    assert structure_digest(value) == "44cd8b19f98b9e546b6e95865f552f300705dc4f7b4b0ebb6e8e252ffe846ac2"
