"""The generated pages say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["metrics.md", "configuration.md", "console.md", "performance.md"])
def test_a_generated_page_is_in_step(name: str) -> None:
    page = generator().PAGES[name]()
    assert (DOCS / name).read_text(encoding="utf-8") == page, "run: python docs/generate.py"


def test_the_configuration_page_has_every_option() -> None:
    page = generator().configuration_page()
    for expected in (
        "## `[source.kafka]`",
        '## `[[models]]`, `learner = "torch"`',
        "| `every_seconds` | number | seconds | `30.0` | above 0 |",
        "| `hidden` | list of integer |  | `[128, 64]` | each at least 1 |",
        "| `port` | integer |  | `9464` | at least 0, at most 65,535 |",
        "| `enable.auto.commit` |",
    ):
        assert expected in page
