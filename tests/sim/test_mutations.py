"""Each fsync, fence and checksum of the checkpoint code is missed when it is taken out."""

from __future__ import annotations

import ast

import fence_world
import pytest
from checkpoint_script import script_of
from checkpoint_world import run
from mutations import (
    FOLDER,
    MODULES,
    Mutation,
    fsyncs,
    judge,
    mutant,
    mutations,
    object_store,
    segments,
    stories,
)


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: mutation.name)
def test_without_it_something_fails(mutation: Mutation) -> None:
    verdict = judge(mutation)
    assert verdict.suite is not None, f"nothing notices: {mutation.name}"


def test_the_code_made_anew_without_a_mutation_passes() -> None:
    code = mutant(None)
    stories(code)
    segments(code)
    object_store(code)
    fence_world.one_slow(code)
    for seed in range(100):
        run(script_of(seed), code)


def test_all_fsyncs_are_among_them() -> None:
    """Also one that is written in another way than those which are found."""
    calls = [
        node
        for name in MODULES
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith(("sync", "fsync"))
    ]
    assert len(list(fsyncs())) == len(calls) == 5


def test_a_text_that_is_gone_is_told() -> None:
    with pytest.raises(AssertionError, match="has this 0x"):
        mutant(Mutation("gone", "claims", (("no such line", ""),)))
