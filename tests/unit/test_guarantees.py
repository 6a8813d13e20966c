"""docs/guarantees.md names tests: each is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "guarantees.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:\w+/)+test_\w+\.py)(?:::(test_\w+))?`", PAGE)))


def test_the_page_names_tests() -> None:
    assert len([name for _, name in NAMED if name]) > 30


@pytest.mark.parametrize(("path", "name"), NAMED, ids="::".join)
def test_a_test_that_the_page_names_is_there(path: str, name: str) -> None:
    file = TESTS / path
    assert file.is_file()
    if name:
        tree = ast.parse(file.read_text())
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_every_fault_has_a_test() -> None:
    [table] = re.findall(r"^\| fault .*?(?=\n\n)", PAGE, re.MULTILINE | re.DOTALL)
    rows = table.splitlines()[2:]
    assert len(rows) > 20
    for row in rows:
        assert re.search(r"::test_\w+` ?\|?$|::test_\w+`,", row), row
