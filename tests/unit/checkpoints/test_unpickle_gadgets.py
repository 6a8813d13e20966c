"""What a hostile pickle could build out of River's own modules: every name in them, and chains of admitted ones."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pickle
import pkgutil
import textwrap
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import river
from river import datasets, stats

from streamlearn.checkpoints.admitted import EXACT
from streamlearn.checkpoints.unpickle import loads
from streamlearn.errors import CheckpointRefused

# What runs code, reaches the system, or looks up by name; River's classes must not call it while they are unpickled.
DANGEROUS = frozenset(
    {
        *("eval", "exec", "compile", "__import__", "import_module", "open", "input", "breakpoint"),
        *("system", "popen", "Popen", "run", "call", "check_output", "spawn", "fork"),
        *("urlopen", "urlretrieve", "connect", "extractall", "unpack_archive", "rmtree", "unlink", "mkdir"),
        *("write_bytes", "write_text", "loads", "load", "CDLL", "globals", "__subclasses__"),
    }
)


@functools.cache
def river_modules() -> dict[str, types.ModuleType]:
    """All of River's modules that can be imported here."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what other libraries think of River's imports
        for info in pkgutil.walk_packages(river.__path__, "river."):
            try:
                found[info.name] = importlib.import_module(info.name)
            except ImportError:
                continue  # wants a library that is not here, so nobody can unpickle from it either
    return found


def refused(data: bytes) -> bool:
    try:
        loads(data)
    except CheckpointRefused:
        return True
    return False


def is_own_class(module: str, name: str, value: object) -> bool:
    return isinstance(value, type) and value.__module__ == module and value.__qualname__ == name


def admitted_classes() -> Iterator[type]:
    for module_name, module in river_modules().items():
        for name, value in vars(module).items():
            if is_own_class(module_name, name, value) and not refused(_named(module_name, name)):
                yield value


def test_no_name_in_any_module_of_river_is_admitted_but_its_own_classes() -> None:
    tried = 0
    for module_name, module in river_modules().items():
        for name, value in list(vars(module).items()):
            tried += 1
            if not refused(_named(module_name, name)):
                own = is_own_class(module_name, name, value)
                assert own or (module_name, name) in EXACT, f"{module_name}:{name} is admitted"
    assert tried > 5000


def test_no_name_behind_what_river_imports_is_admitted() -> None:
    tried = 0
    for module_name, module in river_modules().items():
        for name, value in list(vars(module).items()):
            if isinstance(value, types.ModuleType):
                for inner in (
                    "system",
                    "modules",
                    "import_module",
                    "reduce",
                    "loads",
                    "os",
                    "sys",
                    "__dict__",
                ):
                    tried += 1
                    assert refused(_named(module_name, f"{name}.{inner}"))
            elif isinstance(value, type):
                for inner in (
                    "__init__",
                    "__subclasses__",
                    "__init__.__globals__",
                    "__dict__",
                    "mro",
                    "clone",
                ):
                    tried += 1
                    assert refused(_named(module_name, f"{name}.{inner}"))
    assert tried > 5000


def test_no_admitted_class_of_river_reads_or_fetches() -> None:
    assert not [each for each in admitted_classes() if issubclass(each, datasets.base.Dataset)]


def test_no_admitted_class_of_river_calls_what_is_dangerous() -> None:
    looked_at = 0
    for each in admitted_classes():
        try:
            source = textwrap.dedent(inspect.getsource(each))
        except (OSError, TypeError):
            continue  # compiled, or made by a decorator
        looked_at += 1
        called = {
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        }
        assert not called & DANGEROUS, f"{each} calls {called & DANGEROUS}"
    assert looked_at > 400


def test_a_dataset_that_would_fetch_and_unpack_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list()` of it opens its `url`, writes what comes into a folder, and unpacks it there."""
    bait = tmp_path / "bait.txt"
    bait.write_text("1 1 0.5\n")
    attributes = {"url": bait.as_uri(), "size": 0, "unpack": False, "filename": str(tmp_path / "written")}
    state = b"}(" + b"".join(_text(name) + _value(value) for name, value in attributes.items()) + b"u"
    newobj = _name("river.bandit.datasets.news", "NewsArticles") + b")\x81" + state + b"b"
    attack = _whole(_called(_name("builtins", "list"), newobj))
    with pytest.raises(CheckpointRefused, match="NewsArticles, which is not admitted"):
        loads(attack)
    assert not (tmp_path / "written").exists()
    # The gadget does work where nothing stands in its way.
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match="Something went wrong during the download"):
        pickle.loads(attack)
    assert (tmp_path / "written").read_text() == "1 1 0.5\n"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("river.drift.datasets.airline_passengers", "AirlinePassengers"),
        ("river.bandit.envs.candy_cane", "CandyCaneContest"),
        ("river.datasets.base", "RemoteDataset"),
        ("river.stream.twitch_chat", "TwitchChatStream"),
        ("river.stream.iter_csv", "DictReader"),
    ],
)
def test_what_reads_files_or_opens_sockets_is_refused(module: str, name: str) -> None:
    with pytest.raises(CheckpointRefused, match=f"{module}:{name}, which is not admitted"):
        loads(_named(module, name))


class TestChains:
    """Admitted names, put together to do what none of them does alone."""

    def test_deepcopy_as_a_setter_of_attributes(self) -> None:
        """`deepcopy` asks the object how to copy it, and sets attributes on whatever comes out of that."""
        update = stats.Mean.update
        deepcopy, mean = _name("copy", "deepcopy"), _name("river.stats.mean", "Mean")
        setting = b"N}" + _text("update") + deepcopy + b"s\x86"  # (None, {"update": deepcopy})
        recipe = deepcopy + mean + b"\x85" + setting + b"\x87"  # (deepcopy, (Mean,), setting)
        answer = _called(_name("functools", "partial"), deepcopy, recipe, b"}")
        attack = _called(deepcopy, mean + b")\x81}" + _text("__reduce_ex__") + answer + b"sb")
        with pytest.raises(CheckpointRefused, match="Mean, and alters it"):
            loads(_whole(attack))
        assert stats.Mean.update is update

    def test_partial_binds_only_what_was_admitted(self) -> None:
        with pytest.raises(CheckpointRefused, match="os:system"):
            loads(_whole(_called(_name("functools", "partial"), _name("os", "system"), _text("true"))))

    def test_a_default_factory_is_only_what_was_admitted(self) -> None:
        with pytest.raises(CheckpointRefused, match="builtins:eval"):
            loads(_whole(_called(_name("collections", "defaultdict"), _name("builtins", "eval"))))

    def test_a_function_transformer_is_given_only_what_was_admitted(self) -> None:
        transformer = _name("river.compose.func", "FuncTransformer")
        with pytest.raises(CheckpointRefused, match="posix:system"):
            loads(_whole(_called(transformer, _name("posix", "system"))))

    def test_getattr_walks_nowhere(self) -> None:
        """No chain of lookups leaves an object: `x.__class__.__base__.__subclasses__()` is the classic one."""
        lookup = _name("builtins", "getattr")
        for owner, attribute in (
            (_called(_name("builtins", "object")), "__class__"),
            (_name("builtins", "object"), "__subclasses__"),
            (_name("river.base.base", "Base"), "__init__"),
            (_name("river.base.base", "Base"), "_get_params"),
            (_called(lookup, _name("builtins", "str"), _text("lower")), "__self__"),
            (_called(lookup, _name("builtins", "str"), _text("lower")), "__objclass__"),
            (_name("copy", "deepcopy"), "__globals__"),
            (_called(_name("river.stats.mean", "Mean")), "__dict__"),
        ):
            with pytest.raises(CheckpointRefused, match="which is not admitted"):
                loads(_whole(_called(lookup, owner, _text(attribute))))

    def test_a_name_that_is_no_plain_text_is_not_looked_up(self) -> None:
        """`str` is admitted; a subclass of it, with an equality of its own, would not be."""
        attack = _called(_name("builtins", "getattr"), _name("builtins", "str"), b"C\x05lower")
        with pytest.raises(CheckpointRefused, match="not admitted"):
            loads(_whole(attack))

    def test_an_extension_code_reaches_nothing(self) -> None:
        with pytest.raises(CheckpointRefused):
            loads(b"\x80\x04\x82\x01.")

    def test_instances_and_old_opcodes_ask_for_names_as_well(self) -> None:
        for attack in (
            b"(S'true'\nios\nsystem\n.",  # INST
            b"(cos\nsystem\nS'true'\no.",  # OBJ
            b"cos\nsystem\n(S'true'\ntR.",  # GLOBAL, REDUCE
            _whole(_name("os", "system") + b")\x81"),  # NEWOBJ
            _whole(_name("os", "system") + b")}\x92"),  # NEWOBJ_EX
        ):
            with pytest.raises(CheckpointRefused, match="system, which is not admitted"):
                loads(attack)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def _value(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    return b"K" + bytes([value]) if isinstance(value, int) else _text(value)


def _name(module: str, attribute: str) -> bytes:
    return _text(module) + _text(attribute) + b"\x93"


def _called(callee: bytes, *arguments: bytes) -> bytes:
    return callee + b"(" + b"".join(arguments) + b"tR"


def _whole(opcodes: bytes) -> bytes:
    return b"\x80\x04" + opcodes + b"."


def _named(module: str, attribute: str) -> bytes:
    return _whole(_name(module, attribute))
