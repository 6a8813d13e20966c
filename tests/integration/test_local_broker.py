"""The local Apache Kafka: it answers, keeps what it should, and goes when its starter goes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from kafka_for_tests import KafkaForTests
from waiting import eventually

from streamlearn.connectors.kafka_runtime import find_runtime
from streamlearn.connectors.local_broker import LocalBroker
from streamlearn.environment import Environment
from streamlearn.errors import LocalBrokerError

pytestmark = pytest.mark.kafka

RUNS_A_BROKER = """
import sys
from pathlib import Path
from streamlearn.connectors.local_broker import run_broker
run_broker(data=Path(sys.argv[1]) if len(sys.argv) > 1 else None)
"""


@pytest.fixture(scope="module", autouse=True)
def local_kafka_can_be_had(without_kafka):
    try:
        find_runtime(Environment(), report=lambda _line: None)
    except LocalBrokerError as error:
        without_kafka(str(error))


@pytest.fixture
def temporary_folders(tmp_path, monkeypatch):
    """Where temporary folders are made, by this process and those that it starts; nothing else is there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def listens(bootstrap_servers: str, host: str | None = None) -> bool:
    own_host, _, port = bootstrap_servers.rpartition(":")
    try:
        socket.create_connection((host or own_host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def processes_naming(folder: Path) -> list[str]:
    """Command lines that hold the folder's path, where the system shows them (Linux)."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if str(folder) in line:
            lines.append(line[:200])
    return lines


def broker_folders(folder: Path) -> list[Path]:
    return list(folder.glob("streamlearn-broker-*"))


def test_a_temporary_broker_serves_on_the_loopback_alone_and_leaves_nothing(temporary_folders):
    with LocalBroker(message_bytes_max=5_000_000, properties={"log.retention.ms": "123456"}) as broker:
        assert broker.running
        kafka = KafkaForTests(broker.bootstrap_servers, "this test")
        topic = kafka.topic(partitions=4)
        kafka.produce(topic, [(3, b"k", b"v", 7)])
        assert [record.value for record in kafka.read_back(topic)] == [b"v"]
        node = ConfigResource(ResourceType.BROKER, "1")
        settings = kafka.admin.describe_configs([node])[node].result()
        assert settings["message.max.bytes"].value == "5000000"
        assert settings["log.retention.ms"].value == "123456"
        assert settings["auto.create.topics.enable"].value == "false"
        # All of 127.0.0.0/8 is this machine on Linux: a listener on all addresses would answer here.
        assert not listens(broker.bootstrap_servers, "127.0.0.2")
        assert len(broker_folders(temporary_folders)) == 1
        assert processes_naming(temporary_folders) or sys.platform != "linux"
    assert not broker.running
    assert not listens(broker.bootstrap_servers)
    assert broker_folders(temporary_folders) == []
    assert processes_naming(temporary_folders) == []
    broker.stop()  # a second time: nothing happens


def test_a_given_folder_keeps_its_topics_also_after_sigkill(tmp_path):
    data = tmp_path / "Daten für Kafka"
    process, address = start_run_broker(data)
    try:
        kafka = KafkaForTests(address, "this test")
        topic = kafka.topic(partitions=2)
        kafka.produce(topic, [(0, None, b"before", 1), (1, None, b"too", 2)])
    finally:
        process.kill()
        process.communicate()
    with LocalBroker(data=data) as broker:  # at once, and on other ports
        kafka = KafkaForTests(broker.bootstrap_servers, "this test")
        kafka.produce(topic, [(0, None, b"after", 3)])
        assert [record.value for record in kafka.read_back(topic)] == [b"before", b"after", b"too"]
    assert (data / "storage" / "meta.properties").exists()


def start_run_broker(*arguments: object) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUNS_A_BROKER, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()  # ends at the latest when the process does
    name, _, address = line.strip().partition("=")
    assert name == "bootstrap_servers", (line, process.communicate())
    return process, address


def test_sigkill_of_the_starter_leaves_no_java_and_no_folder(temporary_folders):
    process, address = start_run_broker()
    assert listens(address)
    assert len(broker_folders(temporary_folders)) == 1
    process.kill()
    process.communicate()
    eventually(lambda: not listens(address), why="the broker's end after its starter was killed")
    eventually(lambda: not processes_naming(temporary_folders), why="the end of Java and of the guard")
    assert broker_folders(temporary_folders) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_broker_prints_one_line_and_ends_on_a_signal(number, temporary_folders):
    process, address = start_run_broker()
    assert AdminClient({"bootstrap.servers": address}).list_topics(timeout=10).brokers
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert output == ""
    assert not listens(address)
    assert broker_folders(temporary_folders) == []


def test_a_broker_that_dies_at_start_tells_the_end_of_its_log(temporary_folders):
    with pytest.raises(LocalBrokerError) as caught:
        LocalBroker(properties={"num.io.threads": "many"}).start()
    assert "ended with exit code 1" in caught.value.what
    assert "Invalid value many for configuration num.io.threads" in caught.value.what
    assert "--bootstrap-servers" in caught.value.remedy
    assert broker_folders(temporary_folders) == []


def test_a_given_port_that_is_taken_is_an_error(temporary_folders):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalBrokerError, match=f"127.0.0.1:{port} ended"):
            LocalBroker(port).start()
    assert broker_folders(temporary_folders) == []


def test_a_broker_that_does_not_answer_in_time_is_ended(temporary_folders):
    broker = LocalBroker(start_seconds=0.05)
    with pytest.raises(LocalBrokerError, match="does not answer"):
        broker.start()
    assert not broker.running
    assert broker_folders(temporary_folders) == []


def test_a_folder_that_cannot_be_used_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(LocalBrokerError, match="data folder of the local broker cannot be used"):
        LocalBroker(data=tmp_path / "file" / "below").start()
    with pytest.raises(LocalBrokerError, match="comma"):
        LocalBroker(data=tmp_path / "a,b").start()


def test_a_second_broker_on_the_same_data_is_refused_and_the_first_goes_on(tmp_path):
    with LocalBroker(data=tmp_path / "data") as first:
        with pytest.raises(LocalBrokerError, match="another local broker runs in"):
            LocalBroker(data=tmp_path / "data").start()
        KafkaForTests(first.bootstrap_servers, "this test").topic()
