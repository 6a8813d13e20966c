"""``streamlearn init``: a first config for a topic or a file, from a sample of its messages.

What is inferred is a proposal, written with its grounds as comments, and checked like any config before it is
written. Nothing is joined or committed (`reads_are_pure`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from streamlearn.config import Config, KafkaSource, Task
from streamlearn.config_file import load
from streamlearn.errors import ConfigError, SourceError

SAMPLE_EVENTS = 1000
CLASSES_MAX = 100  # more different whole numbers than this are taken for a quantity

Role = Literal["numeric", "categorical", "time", "id", "ignored"]


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What to look at, and where to write. One of ``topic`` and ``file`` is given."""

    output: Path
    label: str
    topic: str | None
    file: Path | None
    bootstrap_servers: str


@dataclass(frozen=True, slots=True)
class Field:
    """What one field of the messages seems to be, and why."""

    name: str
    role: Role
    why: str


def init_stream(options: InitOptions) -> dict[str, Any]:
    """Look at a sample, write the config, and return what was found.

    Raises
    ------
    ConfigError
        The file to write is there already; the label is in no message; no field can be a feature.
    SourceError
        Nothing can be read.
    """
    if options.output.exists():
        raise ConfigError(f"{options.output} is there already", remedy="name another file, or move it away")
    events = _objects(_sample(options))
    labels = [event[options.label] for event in events if event.get(options.label) is not None]
    if not labels:
        names = sorted({name for event in events for name in event})
        raise ConfigError(
            f"none of the {len(events)} sampled messages has the label {options.label!r}",
            remedy=f"name one of their fields: {', '.join(names)}",
        )
    task = infer_task(labels)
    fields = infer_fields(events, options.label)
    text = config_text(options, task, fields, len(events))
    config = _checked(options.output, text)
    return {
        "config": str(options.output),
        "stream": config.stream.name,
        "task": task,
        "sampled_events": len(events),
        "fields": [{"name": each.name, "role": each.role, "why": each.why} for each in fields],
    }


def infer_task(labels: Sequence[Any]) -> Task:
    """Return the task that these labels speak of.

    >>> infer_task([True, False]), infer_task([0, 1, 1]), infer_task(["a", "b", "c"]), infer_task([0.5, 2])
    ('binary', 'binary', 'multiclass', 'regression')
    """
    different = set(map(repr, labels))
    if all(isinstance(label, bool) for label in labels) or different <= {"0", "1"}:
        return "binary"
    if any(isinstance(label, float) for label in labels):
        return "regression"
    if any(isinstance(label, str) for label in labels) or len(different) <= CLASSES_MAX:
        return "multiclass"
    return "regression"


def infer_fields(events: Sequence[Mapping[str, Any]], label: str) -> list[Field]:
    """Return what each field but the label seems to be, in the order in which they first appear.

    At most one is the time (the first that holds ISO 8601 in every event) and one the id (the first that
    calls itself so and never repeats).

    >>> events = [{"event_id": 7, "at": "2026-01-01T00:00:00Z", "distance": 3.5, "carrier": "AA", "y": 1},
    ...           {"event_id": 8, "at": "2026-01-01T00:00:01Z", "distance": 4, "carrier": "AA", "y": 0}]
    >>> [(field.name, field.role) for field in infer_fields(events, "y")]
    [('event_id', 'id'), ('at', 'time'), ('distance', 'numeric'), ('carrier', 'categorical')]
    """
    names = list(dict.fromkeys(name for event in events for name in event if name != label))
    fields: list[Field] = []
    for name in names:
        values = [event[name] for event in events if event.get(name) is not None]
        taken = {field.role for field in fields}
        fields.append(_field(name, values, everywhere=len(values) == len(events), taken=taken))
    return fields


def _field(name: str, values: Sequence[Any], *, everywhere: bool, taken: set[Role]) -> Field:
    if not values:
        return Field(name, "ignored", "always null")
    texts = [value for value in values if isinstance(value, str)]
    different = len(set(map(repr, values)))
    never_repeats = everywhere and different == len(values) > 1
    says_id = name.lower() == "id" or name.lower().endswith(("_id", "id", "uuid"))
    if "id" not in taken and never_repeats and says_id and all(isinstance(v, int | str) for v in values):
        return Field(name, "id", "its name says so, and it never repeats")
    if len(texts) == len(values):
        if all(map(_is_time, texts)):
            if "time" not in taken and everywhere:
                return Field(name, "time", "ISO 8601 in every event")
            return Field(name, "ignored", "a second time")
        if never_repeats:
            return Field(name, "ignored", "text that never repeats teaches nothing")
        return Field(name, "categorical", f"text, {different} different")
    if all(isinstance(value, int | float) for value in values):
        return Field(name, "numeric", "numbers")
    return Field(name, "ignored", "neither numbers nor text throughout")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return len(text) >= len("2026-01-31")


def config_text(options: InitOptions, task: Task, fields: Sequence[Field], sampled: int) -> str:
    """Return the config as TOML, for a person to go on with."""
    by_role = {role: [field.name for field in fields if field.role == role] for role in _ROLES}
    name = options.topic or (options.file.stem if options.file is not None else "stream")
    lines = [
        f"# Proposed from {sampled} messages; every option: docs/configuration.md. Then:",
        f"#   streamlearn check {options.output} {'--connect' if options.topic else ''}".rstrip(),
        f"#   streamlearn run {options.output}",
        "[stream]",
        f"name = {_toml(name)}",
        f"task = {_toml(task)}",
        "",
        *_source(options),
        "",
        "[event]",
        f"label = {_toml(options.label)}",
        *(f"{role} = {_toml(by_role[role][0])}" for role in ("time", "id") if by_role[role]),
        *(f"{role} = {_toml(by_role[role])}" for role in ("numeric", "categorical") if by_role[role]),
        *(f"# not used: {each.name} ({each.why})" for each in fields if each.role == "ignored"),
        "",
        "[[models]]",
        f"name = {_toml(_MODELS[task][0])}",
        'learner = "river"',
        *_pipeline(_MODELS[task][1], numeric=bool(by_role["numeric"]), text=bool(by_role["categorical"])),
        "",
        "[checkpoint]",
        f"path = {_toml(f'{name}-checkpoints')}",
    ]
    return "\n".join(lines) + "\n"


_ROLES: tuple[Role, ...] = ("numeric", "categorical", "time", "id", "ignored")
_MODELS: dict[Task, tuple[str, str]] = {
    "binary": ("logistic", "linear_model.LogisticRegression"),
    "multiclass": ("softmax", "linear_model.SoftmaxRegression"),
    "regression": ("linear", "linear_model.LinearRegression"),
}


def _source(options: InitOptions) -> list[str]:
    if options.topic is None:
        return ["[source.files]", f"paths = {_toml([str(options.file)])}"]
    return [
        "[source.kafka]",
        f"bootstrap_servers = {_toml(options.bootstrap_servers)}",
        f"topics = {_toml([options.topic])}",
        f"group_id = {_toml(options.topic + '-learner')}",
    ]


def _pipeline(model: str, *, numeric: bool, text: bool) -> list[str]:
    scaled = (
        '{ use = "compose.Pipeline", steps = [{ use = "compose.SelectType", types = ["number"] }, '
        '"preprocessing.StandardScaler"] }'
    )
    encoded = (
        '{ use = "compose.Pipeline", steps = [{ use = "compose.SelectType", types = ["text"] }, '
        '"preprocessing.OneHotEncoder"] }'
    )
    if numeric and text:
        first = f'{{ use = "compose.TransformerUnion", transformers = [{scaled}, {encoded}] }}'
    else:
        first = '"preprocessing.StandardScaler"' if numeric else '"preprocessing.OneHotEncoder"'
    return ["pipeline = [", f"    {first},", f"    {_toml(model)},", "]"]


def _toml(value: Any) -> str:
    """Write text and lists of text as TOML, whose basic strings are JSON's."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _checked(path: Path, text: str) -> Config:
    path.write_text(text, encoding="utf-8")
    try:
        return load(path)
    except ConfigError:
        path.unlink()
        raise


def _objects(messages: Sequence[bytes | None]) -> list[dict[str, Any]]:
    events = []
    for message in messages:
        try:
            event = msgspec.json.decode(message or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # what it is not is the daemon's business; a proposal needs those that are
        if isinstance(event, dict):
            events.append(event)
    if not events:
        raise SourceError(
            f"none of {len(messages)} sampled messages is a JSON object",
            remedy="write some events first, or name another topic or file",
        )
    return events


def _sample(options: InitOptions) -> list[bytes | None]:
    if options.topic is not None:
        from streamlearn.connectors.kafka_check import sample_topic

        source = KafkaSource(
            bootstrap_servers=options.bootstrap_servers, topics=(options.topic,), group_id="streamlearn-init"
        )
        values: list[bytes | None] = sample_topic(source, SAMPLE_EVENTS).column("value").to_pylist()
        return values
    assert options.file is not None
    try:
        with options.file.open("rb") as lines:
            return [line for line, _ in zip(lines, range(SAMPLE_EVENTS), strict=False)]
    except OSError as error:
        raise SourceError(
            f"{options.file} cannot be read: {error.strerror}", remedy="name a file of JSON lines"
        ) from error
