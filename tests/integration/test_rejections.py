"""Every reason for which an event is rejected, on real bytes through a real broker."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pyarrow as pa
import pytest
from daemon_process import CONFIG, DaemonProcess
from kafka_for_tests import KafkaForTests, Row

from streamlearn.belt.messages.arrow import message_of
from streamlearn.checkpoints.inspect import show
from streamlearn.events import Reason

pytestmark = pytest.mark.kafka

OVERRIDES = ["event.missing=reject", "event.message_bytes_max=2000"]


def event(**changes: object) -> bytes:
    fields = {"id": 1, "t": 1000, "a": 1.5, "b": 2, "c": "x", "y": True} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


GOOD = [event(id=n, t=1000 + n, a=n / 7, b=-n, y=n % 3 == 0) for n in range(40)]

BAD: list[tuple[Reason, bytes | None]] = [
    (Reason.TOMBSTONE, None),
    (Reason.EMPTY, b""),
    (Reason.EMPTY, b" \n\t "),
    (Reason.OVERSIZED, event(c="x" * 2000)),
    (Reason.INVALID_UTF8, b'{"id":1,"c":"\xff"}'),
    (Reason.INVALID_UTF8, b"\x00\x9f\x92\x96"),
    (Reason.INVALID_JSON, b'{"id":1,'),
    (Reason.INVALID_JSON, b"{'id': 1}"),
    (Reason.INVALID_JSON, event(c="x").replace(b'"x"', b'"\\ud800"')),
    (Reason.TRAILING_DATA, event() + event()),
    (Reason.TRAILING_DATA, event() + b" x"),
    (Reason.NESTING_TOO_DEEP, b'{"id":' + b"[" * 500 + b"]" * 500 + b"}"),
    (Reason.NOT_AN_OBJECT, b"[1, 2]"),
    (Reason.NOT_AN_OBJECT, b"null"),
    (Reason.WRONG_TYPE, event(a="1.5")),
    (Reason.WRONG_TYPE, event(b=[2])),
    (Reason.WRONG_TYPE, event(c={"x": 1})),
    (Reason.NON_FINITE, event(a=1.5).replace(b"1.5", b"NaN")),
    (Reason.NON_FINITE, event(a=1.5).replace(b"1.5", b"1e400")),
    (Reason.NON_FINITE, event(a=1.5).replace(b"1.5", b"-Infinity")),
    (Reason.MISSING_FEATURE, event(a=None)),
    (Reason.MISSING_FEATURE, event(c=...)),
    (Reason.BAD_LABEL, event(y="yes")),
    (Reason.BAD_LABEL, event(y=2)),
    (Reason.MISSING_ID, event(id=None)),
    (Reason.BAD_ID, event(id=1.5)),
    (Reason.MISSING_TIME, event(t=...)),
    (Reason.BAD_TIME, event(t="soon")),
]


def arrow(*events: dict[str, object], compression: str | None = None) -> bytes:
    return message_of(pa.RecordBatch.from_pylist(list(events)), compression)


def fields(**changes: object) -> dict[str, object]:
    document: dict[str, object] = json.loads(event(**changes))
    return document


# Messages of which nothing is taken, then messages of two events of which the second is rejected.
BAD_ARROW: list[tuple[Reason, bytes | None]] = [
    (Reason.TOMBSTONE, None),
    (Reason.EMPTY, b""),
    (Reason.OVERSIZED, arrow(fields(c="x" * 9000))),
    (Reason.OVERSIZED, arrow({"z": "x" * 3_000_000}, compression="zstd")),
    (Reason.INVALID_ARROW, b'{"id": 1}'),
    (Reason.INVALID_ARROW, arrow(fields())[:-50]),
    (Reason.TRAILING_DATA, arrow(fields()) + arrow(fields())),
    (Reason.WRONG_COLUMN_TYPE, arrow(fields(a="1.5"))),
    (Reason.WRONG_COLUMN_TYPE, arrow(fields(c=[1]))),
    (Reason.TOO_MANY_EVENTS, arrow(*[fields()] * 6)),
    (Reason.MISSING_TIME, arrow(fields(t=...))),
]
BAD_ROWS: list[tuple[Reason, dict[str, object]]] = [
    (Reason.NON_FINITE, fields() | {"a": float("inf")}),
    (Reason.MISSING_FEATURE, fields(a=None)),
    (Reason.BAD_LABEL, fields(y=None) | {"y": 2}),
    (Reason.MISSING_ID, fields(id=None)),
    (Reason.BAD_TIME, fields(t=10**17)),
]


def test_every_reason_is_covered() -> None:
    learned = {Reason.NON_FINITE_LEARNING, Reason.LEARNER_FAILED}  # the last test
    joined = {Reason.DUPLICATE_ID}  # needs [labels]: tests/property/test_label_join.py
    of_both = {reason for reason, _value in BAD} | {reason for reason, _value in BAD_ARROW}
    assert of_both | learned | joined == set(Reason) - {Reason.ACCEPTED}


def mixed() -> list[Row]:
    """Good events with bad ones between them, keys included, in one partition."""
    rows: list[Row] = []
    for number, good in enumerate(GOOD):
        rows.append((0, b"good", good, None))
        if number < len(BAD):
            rows.append((0, b"k%d" % number, BAD[number][1], None))
    return rows


def model_digest(folder: Path) -> str:
    [shard] = show(f"{folder}/checkpoints")["shards"]
    return str(shard["models"][0]["digest"])


@pytest.fixture(scope="module")
def untouched(kafka: KafkaForTests, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The model's digest after the good events alone."""
    topic, folder = kafka.topic(), tmp_path_factory.mktemp("good")
    kafka.produce(topic, [(0, None, good, None) for good in GOOD])
    text = CONFIG.format(topic=topic)
    with DaemonProcess(folder, kafka.bootstrap_servers, text, "--until-end", overrides=OVERRIDES) as run:
        assert run.summary()["events_rejected"] == 0
    return model_digest(folder)


@pytest.mark.parametrize("poll_events", [3, 5000])  # the exact route, and the fast one
def test_to_the_dead_letter_topic(
    poll_events: int, kafka: KafkaForTests, untouched: str, tmp_path: Path
) -> None:
    topic, dead = kafka.topic(), kafka.topic()
    kafka.produce(topic, mixed())
    overrides = [*OVERRIDES, f"dead_letters.topic={dead}", f"source.kafka.poll_events={poll_events}"]
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, CONFIG.format(topic=topic), "--until-end", overrides=overrides
    ) as run:
        summary = run.summary()
    assert summary["events_rejected"] == len(BAD)
    assert summary["events_learned"] == len(GOOD)
    assert model_digest(tmp_path) == untouched
    letters = sorted(
        kafka.read_back(dead), key=lambda letter: int(dict(letter.headers)["streamlearn.offset"])
    )
    assert [dict(letter.headers)["streamlearn.reason"].decode() for letter in letters] == [
        reason.label for reason, _value in BAD
    ]
    for number, ((_reason, value), letter) in enumerate(zip(BAD, letters, strict=True)):
        headers = {name: text.decode() for name, text in letter.headers}
        assert (letter.key, letter.value) == (b"k%d" % number, value)
        assert (headers["streamlearn.topic"], headers["streamlearn.partition"]) == (topic, "0")
        assert headers["streamlearn.offset"] == str(2 * number + 1)
        assert headers["streamlearn.detail"]


def test_to_the_local_file(kafka: KafkaForTests, untouched: str, tmp_path: Path) -> None:
    topic = kafka.topic()
    kafka.produce(topic, mixed())
    with DaemonProcess(
        tmp_path, kafka.bootstrap_servers, CONFIG.format(topic=topic), "--until-end", overrides=OVERRIDES
    ) as run:
        assert run.summary()["events_rejected"] == len(BAD)
    assert model_digest(tmp_path) == untouched
    letters = [json.loads(line) for line in (tmp_path / "dead-letters.jsonl").read_text().splitlines()]
    assert [letter["streamlearn.reason"] for letter in letters] == [reason.label for reason, _value in BAD]
    for (_reason, value), letter in zip(BAD, letters, strict=True):
        kept = None if letter["value_base64"] is None else base64.b64decode(letter["value_base64"])
        assert kept == value


def test_an_event_without_a_label_is_predicted_and_not_learned(
    kafka: KafkaForTests, untouched: str, tmp_path: Path
) -> None:
    topic, out = kafka.topic(), kafka.topic()
    rows: list[Row] = []
    for number, good in enumerate(GOOD):
        rows.append((0, None, good, None))
        rows.append((0, None, event(id=1000 + number, t=1000 + number, y=None), None))
    kafka.produce(topic, rows)
    text = CONFIG.format(topic=topic) + f'[predictions]\ntopic = "{out}"\n'
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=OVERRIDES) as run:
        summary = run.summary()
    assert (summary["events_read"], summary["events_learned"], summary["events_rejected"]) == (80, 40, 0)
    assert model_digest(tmp_path) == untouched
    assert len(kafka.read_back(out)) == 80


def test_arrow_messages_and_rows(kafka: KafkaForTests, untouched: str, tmp_path: Path) -> None:
    topic, dead = kafka.topic(), kafka.topic()
    rows: list[Row] = []
    for number, good in enumerate(GOOD):
        documents = [json.loads(good)]
        if number < len(BAD_ROWS):
            bad = BAD_ROWS[number][1]
            if isinstance(bad["y"], int) and not isinstance(bad["y"], bool):
                documents[0]["y"] = int(documents[0]["y"])
            documents.append(bad)
        rows.append((0, b"good", arrow(*documents), None))
        if number < len(BAD_ARROW):
            rows.append((0, b"k", BAD_ARROW[number][1], None))
    kafka.produce(topic, rows)
    overrides = [
        *OVERRIDES,
        "event.message_bytes_max=8000",
        f"dead_letters.topic={dead}",
        "event.format=arrow",
    ]
    overrides += ["event.message_events_max=5", "event.unfolded_bytes_max=1000000"]
    text = CONFIG.format(topic=topic)
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as run:
        summary = run.summary()
    assert (summary["events_learned"], summary["events_rejected"]) == (
        len(GOOD),
        len(BAD_ARROW) + len(BAD_ROWS),
    )
    assert model_digest(tmp_path) == untouched
    letters = kafka.read_back(dead)
    whole = [each for each in letters if "streamlearn.row" not in dict(each.headers)]
    assert [(dict(each.headers)["streamlearn.reason"].decode(), each.value) for each in whole] == [
        (reason.label, value) for reason, value in BAD_ARROW
    ]
    single = [each for each in letters if "streamlearn.row" in dict(each.headers)]
    for (reason, bad), letter in zip(BAD_ROWS, single, strict=True):
        headers = {name: text.decode() for name, text in letter.headers}
        assert (headers["streamlearn.reason"], headers["streamlearn.row"]) == (reason.label, "1")
        assert pa.ipc.open_stream(letter.value).read_all().to_pylist() == [bad]


TOUCHY = """
from river import dummy

class Touchy(dummy.PriorClassifier):
    def learn_one(self, x, y):
        if x["a"] == 13:
            raise ValueError("not thirteen")
        super().learn_one(x, y)

def make():
    return Touchy()
"""
STEEP = """
[[models]]
name = "steep"
learner = "river"
pipeline = [{ use = "compose.Select", keys = ["a", "b"] }, { use = "linear_model.LogisticRegression", optimizer = { use = "optim.SGD", lr = 1e3 } }]
[[models]]
name = "touchy"
learner = "python"
factory = "touchy:make"
admit = ["touchy:Touchy"]
"""


def test_what_a_model_cannot_learn_is_undone_and_kept(kafka: KafkaForTests, tmp_path: Path) -> None:
    topic, dead = kafka.topic(), kafka.topic()
    huge, thirteen = event(a=1.7e308, y=False), event(a=13)
    kafka.produce(
        topic, [(0, None, value, None) for value in (*GOOD[:20], huge, *GOOD[20:30], thirteen, *GOOD[30:])]
    )
    (tmp_path / "touchy.py").write_text(TOUCHY)
    text = CONFIG.format(topic=topic) + STEEP
    overrides = [*OVERRIDES, f"dead_letters.topic={dead}", "stream.on_learner_error=reject"]
    with DaemonProcess(tmp_path, kafka.bootstrap_servers, text, "--until-end", overrides=overrides) as run:
        summary = run.summary()
    assert (summary["events_learned"], summary["events_rejected"]) == (len(GOOD), 2)
    letters = [(dict(each.headers)["streamlearn.reason"], each.value) for each in kafka.read_back(dead)]
    assert letters == [(b"non_finite_learning", huge), (b"learner_failed", thirteen)]
