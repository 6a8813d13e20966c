"""Only confluent-kafka's own librdkafka is taken, of the version that it says; anything else says why not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import confluent_kafka
import pytest

from streamlearn.connectors import librdkafka as module
from streamlearn.connectors.librdkafka import (
    CONSUMER,
    NoCBatches,
    check_code,
    check_error,
    librdkafka,
    new_handle,
    partition_list,
)
from streamlearn.errors import ConfigError
from streamlearn.events import TopicPartition

find = librdkafka.__wrapped__  # without what an earlier call found


def test_it_is_the_library_that_confluent_kafka_runs_on() -> None:
    assert find().rd_kafka_version() == confluent_kafka.libversion()[1]
    assert Path(find()._name).name.startswith("librdkafka")


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("librdkafka.so", True),
        ("librdkafka.so.1", True),
        ("librdkafka-0cb94173.so.1", True),
        ("librdkafka.1.dylib", True),
        ("librdkafka++.so.1", False),
        ("librdkafka_string_parser.py", False),
        ("libcrypto-ab12.so.3", False),
    ],
)
def test_a_library_is_known_by_its_name(name: str, is_it: bool) -> None:
    assert bool(module._FILE_NAME.fullmatch(name)) == is_it


def test_another_copy_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Path(shutil.copy(find()._name, tmp_path))
    monkeypatch.setattr(module, "_candidates", lambda: iter([copy]))
    with pytest.raises(NoCBatches, match=re.escape(str(copy))):
        find()


def test_nothing_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_candidates", lambda: iter([]))
    with pytest.raises(NoCBatches, match="looked at nothing"):
        find()


def test_it_is_found_where_it_is_mapped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("this system has no /proc")
    monkeypatch.setattr(module, "files", lambda _name: None)
    assert find().rd_kafka_version() == confluent_kafka.libversion()[1]


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confluent_kafka, "libversion", lambda: ("2.15.9", 0x020F09FF))
    with pytest.raises(NoCBatches, match="0x020f09ff"):
        find()


def test_another_major_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confluent_kafka, "libversion", lambda: ("3.0.0", 0x030000FF))
    with pytest.raises(NoCBatches, match=r"3\.0\.0"):
        find()


def test_a_function_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROTOTYPES", {"rd_kafka_of_another_day": (None,)})
    with pytest.raises(NoCBatches, match="rd_kafka_of_another_day"):
        find()


def test_a_setting_that_is_refused_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no\.such\.setting") as caught:
        new_handle(librdkafka(), CONSUMER, {"group.id": "g", "no.such.setting": "secret"})
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"fetch\.max\.bytes"):
        new_handle(librdkafka(), CONSUMER, {"group.id": "g", "fetch.max.bytes": 1, "message.max.bytes": 2000})


def test_errors_become_exceptions() -> None:
    library = librdkafka()
    check_code(library, 0)
    check_error(library, None)
    with pytest.raises(confluent_kafka.KafkaException, match="Unknown topic or partition"):
        check_code(library, 3)
    handle = new_handle(library, CONSUMER, {"group.id": "g", "log_level": 0})
    try:
        with (
            partition_list(library, [TopicPartition("t", 0)]) as never_assigned,
            pytest.raises(confluent_kafka.KafkaException, match="empty assignment") as caught,
        ):
            check_error(library, library.rd_kafka_incremental_unassign(handle, never_assigned))
        assert caught.value.args[0].code() == confluent_kafka.KafkaError._INVALID_ARG
    finally:
        library.rd_kafka_destroy_flags(handle, module.NO_CONSUMER_CLOSE)
