"""``streamlearn check``: what a config would run, and (``--connect``) what stands in its way.

Without ``--connect`` nothing outside of this process is asked. With it nothing outside is changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Literal

import pyarrow as pa
from rich.console import Console

from streamlearn.assemble import make_decoder, make_learner
from streamlearn.config import Config, KafkaSource, RiverModel
from streamlearn.engines import stream_of, why_not_compiled
from streamlearn.errors import ExitCode
from streamlearn.events import Reason


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at. ``remedy`` is empty where all is well."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


@dataclass(slots=True)
class Report:
    """What was found: what would run, and what was looked at."""

    stream: str
    models: list[dict[str, Any]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the daemon's way."""
        return all(item.ok for item in self.items)

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.OK if self.ok else ExitCode.SOURCE

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON types."""
        return {
            "stream": self.stream,
            "ok": self.ok,
            "models": self.models,
            "checks": [asdict(item) for item in self.items],
        }

    def print(self, console: Console) -> None:
        """Print the report for a person."""
        say = partial(console.print, highlight=False, markup=False, soft_wrap=True)
        for model in self.models:
            why = f" (not compiled: {model['why_not_compiled']})" if "why_not_compiled" in model else ""
            say(f"model {model['name']}: engine {model['engine']}{why}")
        for item in self.items:
            say(f"{'ok     ' if item.ok else 'PROBLEM'} {item.what}: {item.detail}")
            if item.remedy:
                say(f"        remedy: {item.remedy}")
        say(f"{self.stream}: {'ok' if self.ok else 'not ok'}", style="bold green" if self.ok else "bold red")


def check_stream(config: Config, *, connect: bool) -> Report:
    """Build what the config names, and with ``connect`` ask its source. Raises StreamlearnError."""
    report = Report(config.stream.name)
    for model in config.models:
        learner = make_learner(model, config)
        why = why_not_compiled(model, stream_of(config)) if isinstance(model, RiverModel) else None
        engine = {"engine": learner.engine, **({} if why is None else {"why_not_compiled": why})}
        report.models.append({"name": learner.name, **engine, **learner.describe()})
    if connect and config.source.kafka is not None:
        _ask_kafka(config, config.source.kafka, report)
    return report


def _ask_kafka(config: Config, source: KafkaSource, report: Report) -> None:
    from streamlearn.connectors.kafka_check import check_kafka

    is_paired = config.labels is not None and config.stream.scope == "partition"
    found = check_kafka(
        source.model_copy(update={"topics": config.topics}),
        paired_topics=config.topics if is_paired else (),
        predictions_topic=None if config.predictions is None else config.predictions.topic,
        dead_letters_topic=config.dead_letters.topic,
    )
    report.items += [Item(each.what, each.ok, each.detail, each.remedy) for each in found.findings]
    decoder = make_decoder(config)
    for topic, sample in found.samples.items():
        contract: Literal["event", "label"] = "label" if topic == config.label_topic else "event"
        report.items.append(_fits(topic, contract, decoder.decode(sample)))


def _fits(topic: str, contract: Literal["event", "label"], decoded: pa.RecordBatch) -> Item:
    """Whether a sample of a topic fits its contract: a problem where nothing does."""
    reasons = Counter(decoded.column("reason").to_pylist())
    accepted = reasons.pop(Reason.ACCEPTED, 0)
    detail = f"{accepted} of {decoded.num_rows} sampled messages fit the {contract} contract"
    for code, count in reasons.most_common():
        row = decoded.column("reason").to_pylist().index(code)
        detail += (
            f"; {count} would be rejected as {Reason(code).label} ({decoded.column('detail')[row].as_py()})"
        )
    ok = accepted > 0 or decoded.num_rows == 0
    section = "[labels]" if contract == "label" else "[event]"
    remedy = "" if ok else f"compare {section} with what producers write"
    return Item(f"messages of {topic}", ok, detail, remedy)
