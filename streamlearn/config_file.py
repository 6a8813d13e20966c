"""One TOML file, the environment and ``--set`` in; one frozen ``Config`` out, or every error at once.

A value ``"${NAME}"`` is taken from the environment, whole or in part. It is how a secret gets in: what
came from the environment is shown as ``${NAME}`` wherever a value is shown.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from streamlearn.config import Config
from streamlearn.errors import ConfigError

ENVIRONMENT_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SHOWN_LENGTH_MAX = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a config: where, what stands there, which rule it breaks, what to do."""

    path: str
    value: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.path or 'config'}{shown}\n    {self.rule}\n    remedy: {self.remedy}"


class InvalidConfig(ConfigError):
    """All problems of a config at once.

    >>> print(InvalidConfig("a.toml", [Problem("stream.task", "'binry'", "is no task", "use 'binary'")]))
    a.toml: 1 problem
    stream.task = 'binry'
        is no task
        remedy: use 'binary'
    """

    def __init__(self, origin: str, problems: list[Problem]) -> None:
        self.problems = problems
        plural = "" if len(problems) == 1 else "s"
        super().__init__(f"{origin}: {len(problems)} problem{plural}", remedy="see each problem")

    def __str__(self) -> str:
        return "\n".join([self.what, *map(str, self.problems)])


def load(path: Path, overrides: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> Config:
    """Read a config file.

    Parameters
    ----------
    path
        The TOML file.
    overrides
        ``a.b=value`` each, applied in order; the value is TOML, or text where it is not valid TOML.
        A model is reached by its name: ``models.mlp.batch_events=256``.
    environment
        Where ``${NAME}`` looks; the process's own by default.

    Raises
    ------
    ConfigError
        The file cannot be read or is no TOML.
    InvalidConfig
        With every problem found in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", remedy="name a readable TOML file") from error
    return parse(text, overrides, environment, origin=str(path))


def parse(
    text: str,
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    *,
    origin: str = "config",
) -> Config:
    """Read a config from TOML text; see ``load``.

    >>> parse('''
    ... [stream]
    ... name = "clicks"
    ... task = "binray"
    ... [source.files]
    ... paths = ["clicks.jsonl"]
    ... [event]
    ... lable = "clicked"
    ... numeric = ["age"]
    ... [[models]]
    ... name = "logistic"
    ... learner = "river"
    ... pipeline = ["linear_model.LogisticRegression"]
    ... ''')
    Traceback (most recent call last):
    streamlearn.config_file.InvalidConfig: config: 2 problems
    stream.task = 'binray'
        Input should be 'binary', 'multiclass', 'regression' or 'anomaly'
        remedy: did you mean 'binary'?
    event.lable = 'clicked'
        is no option of [event]
        remedy: did you mean 'label'?
    """
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{origin} is no valid TOML: {error}", remedy="mend the line that it names"
        ) from error
    for override in overrides:
        _apply_override(written, override)
    problems: list[Problem] = []
    resolved = _resolve(written, os.environ if environment is None else environment, (), problems)
    try:
        config = Config.model_validate(resolved)
    except ValidationError as error:
        problems += [_problem(details, written) for details in error.errors(include_url=False)]
    if problems:
        raise InvalidConfig(origin, problems)
    return config


def _apply_override(tree: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    if not separator or not path.strip():
        raise ConfigError(
            f"--set {override!r} is not of the form a.b=value", remedy="for example --set http.port=0"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = path.strip().split(".")
    node: Any = tree
    for depth, key in enumerate(parents):
        node = _child(node, key, ".".join(parents[: depth + 1]), override)
    if isinstance(node, list):
        node[_index(node, last, override)] = value
    else:
        node[last] = value


def _child(node: Any, key: str, path: str, override: str) -> Any:
    if isinstance(node, list):
        return node[_index(node, key, override)]
    child = node.setdefault(key, {})
    if not isinstance(child, dict | list):
        raise ConfigError(
            f"--set {override!r}: {path} is a value, no table", remedy="name an option below a table"
        )
    return child


def _index(items: list[Any], key: str, override: str) -> int:
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    if key in names:
        return names.index(key)
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    known = ", ".join(str(name) for name in names) or "none"
    raise ConfigError(f"--set {override!r}: there is no {key!r}", remedy=f"use one of: {known}")


def _resolve(
    node: Any, environment: Mapping[str, str], path: tuple[str, ...], problems: list[Problem]
) -> Any:
    """Replace each ``${NAME}``; one that is not set is a problem."""
    if isinstance(node, dict):
        return {key: _resolve(value, environment, (*path, key), problems) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(value, environment, (*path, str(i)), problems) for i, value in enumerate(node)]
    if not isinstance(node, str):
        return node

    def value_of(reference: re.Match[str]) -> str:
        name = reference[1]
        if name not in environment:
            rule = f"the environment has no {name}"
            problems.append(Problem(".".join(path), repr(node), rule, f"set {name}, or write the value"))
        return environment.get(name, "")

    return ENVIRONMENT_REFERENCE.sub(value_of, node)


def _problem(details: ErrorDetails, written: dict[str, Any]) -> Problem:
    path, owner, options, value = _locate(details["loc"], written)
    rule = details["msg"].removeprefix("Value error, ")
    key = path[-1] if path else ""
    option = options.get(key)
    table = f"[{'.'.join(path[:-1])}]" if path[:-1] else "the config"
    match details["type"]:
        case "extra_forbidden":
            rule = f"is no option of {table}"
            remedy = _did_you_mean(key, options) or f"options are: {', '.join(sorted(options))}"
        case "missing":
            rule = "is needed and not there"
            remedy = f"add it to {table}" + (
                f": {option.description}" if option and option.description else ""
            )
        case "literal_error" | "union_tag_invalid":
            allowed = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
            allowed += re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected_tags", "")))
            remedy = _did_you_mean(str(value), allowed) or f"use one of: {', '.join(allowed)}"
        case "union_tag_not_found":
            rule, remedy = "names no learner", 'add learner = "river", "torch" or "python"'
        case _:
            remedy = option.description if option and option.description else _REMEDY_OF_WHOLE
    return Problem(".".join(path), _shown(value) if owner else "", rule, remedy)


_REMEDY_OF_WHOLE = "docs/configuration.md lists every option"


def _locate(
    location: tuple[str | int, ...], written: dict[str, Any]
) -> tuple[tuple[str, ...], bool, dict[str, FieldInfo], Any]:
    """Follow an error's location through what was written (not resolved: secrets stay references).

    Returns the path as the user wrote it, whether a value stands there, the options of the table that
    the last step names an option of, and that value. Steps of the location that stand for a branch of a
    union are in no file and are left out.
    """
    path: list[str] = []
    node: Any = written
    tables: list[type[BaseModel]] = [Config]
    options: dict[str, FieldInfo] = {}
    found = bool(location)
    for step in location:
        options = {name: field for table in tables for name, field in table.model_fields.items()}
        if isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
            name = node.get("name") if isinstance(node, dict) else None
            path.append(str(name or step))
            if isinstance(node, dict) and "learner" in node:
                tables = [t for t in tables if _learner_of(t) in (None, node["learner"])] or tables
        elif isinstance(node, dict) and step in node:
            node = node[step]
            path.append(str(step))
            tables = _tables_of(options[str(step)].annotation) if str(step) in options else []
        elif isinstance(step, str) and (step in options or step == location[-1]):
            path.append(step)
            found = False
    return tuple(path), found and not isinstance(node, dict), options, node


def _tables_of(annotation: Any) -> list[type[BaseModel]]:
    """The config tables that an annotation mentions, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [table for argument in typing.get_args(annotation) for table in _tables_of(argument)]
    return []


def _learner_of(table: type[BaseModel]) -> str | None:
    field = table.model_fields.get("learner")
    return typing.get_args(field.annotation)[0] if field else None


def _did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_LENGTH_MAX else text[:SHOWN_LENGTH_MAX] + "..."
