"""The jars of the local Apache Kafka: pinned by checksum, downloaded once, kept in a cache folder.

``kafka_jars.txt`` beside this module is the whole class path, a SHA-256 a jar. A Maven resolver (``jgo``)
fetches exactly these coordinates; it resolves nothing, so what runs is what was reviewed.

Invariant: no path leaves this module whose bytes have not been compared with the pinned checksum. A file
that has been is remembered by size and time of change, so that a later start reads no jar.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from streamlearn.errors import LocalBrokerError

# Enough to hide the round trips of many small files, few enough for a public repository.
_DOWNLOADS_AT_ONCE: Final = 6
_DOWNLOAD_TIMEOUT_SECONDS: Final = 20
_VERIFIED_FILE: Final = "verified.json"

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar, by its Maven coordinate and the SHA-256 of its bytes, in lower-case hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


@dataclass(frozen=True, slots=True)
class JarList:
    """A whole class path.

    >>> pins = JarList.pinned()
    >>> pins.kafka_version
    '4.2.2'
    >>> pins.folder_name()
    'kafka-4.2.2-...'
    """

    jars: tuple[Jar, ...]

    @classmethod
    def pinned(cls) -> JarList:
        """Return the list that this release runs."""
        return cls.parse(resources.files(__package__).joinpath("kafka_jars.txt").read_text("utf-8"))

    @classmethod
    def parse(cls, text: str) -> JarList:
        """Return the list written as ``sha256  group:artifact:version`` lines; ``#`` begins a comment.

        >>> JarList.parse("# none\\n" + "0" * 64 + "  org.example:thing:1.0\\n").jars[0].file_name
        'thing-1.0.jar'
        """
        jars = []
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            sha256, coordinate = line.split()
            assert len(sha256) == 64, f"{line!r} does not begin with a SHA-256"
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, sha256))
        assert len({jar.file_name for jar in jars}) == len(jars), "two pinned jars share a file name"
        return cls(tuple(jars))

    @property
    def kafka_version(self) -> str:
        return next(jar.version for jar in self.jars if jar.artifact == "kafka-clients")

    def folder_name(self) -> str:
        """Name the cache folder after the content, so that two releases never share one."""
        pins = "\n".join(f"{jar.sha256} {jar.coordinate}" for jar in self.jars)
        return f"kafka-{self.kafka_version}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"


def class_path(cache_folder: Path, *, jars: JarList | None = None, report: Report) -> tuple[Path, ...]:
    """Return the verified jars, downloading those that are not in the cache.

    Parameters
    ----------
    cache_folder
        The jars live in a folder of their own below it, which is made where it is missing.
    jars
        What to provide; the pinned list unless given.
    report
        Called with one line when a download begins.

    Returns
    -------
    One path a jar, in the list's order. The first time takes seconds (45 files, 44 MB), later ones
    milliseconds. Several processes may do this at once.

    Raises
    ------
    LocalBrokerError
        The extra is not installed, a download failed (what has arrived is kept: try again), or the folder
        holds a jar that is unknown or is not the pinned one.
    """
    wanted = jars or JarList.pinned()
    folder = cache_folder / wanted.folder_name()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_unknown(folder, wanted)
        missing = [jar for jar in wanted.jars if not (folder / jar.file_name).exists()]
        if missing:
            report(f"downloading Apache Kafka {wanted.kafka_version} ({len(missing)} jars, once) to {folder}")
            _download(missing, folder)
        _verify(folder, wanted)
    except OSError as error:
        raise LocalBrokerError(
            f"the jars of Apache Kafka cannot be kept in {folder}: {error}",
            remedy="name a writable folder in STREAMLEARN_CACHE",
        ) from error
    return tuple(folder / jar.file_name for jar in wanted.jars)


def _refuse_unknown(folder: Path, wanted: JarList) -> None:
    known = {jar.file_name for jar in wanted.jars}
    unknown = sorted(path.name for path in folder.glob("*.jar") if path.name not in known)
    if unknown:
        raise LocalBrokerError(
            f"{folder} holds jars that nobody pinned: {', '.join(unknown)}",
            remedy=f"remove {folder}; it is filled again at the next start",
        )


def _verify(folder: Path, wanted: JarList) -> None:
    remembered = _read_verified(folder)
    verified = {}
    changed = []
    for jar in wanted.jars:
        path = folder / jar.file_name
        status = path.stat()
        mark = [jar.sha256, status.st_size, status.st_mtime_ns]
        if remembered.get(jar.file_name) != mark and _sha256(path) != jar.sha256:
            changed.append(jar.file_name)
        verified[jar.file_name] = mark
    if changed:
        raise LocalBrokerError(
            f"jars in {folder} are not the pinned ones: {', '.join(changed)}",
            remedy=f"remove {folder}; it is filled again at the next start",
        )
    if verified != remembered:
        _write_verified(folder, verified)


def _read_verified(folder: Path) -> Mapping[str, object]:
    try:
        document = json.loads((folder / _VERIFIED_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # everything is hashed again, which is what a file that cannot be read is worth
    return document if isinstance(document, dict) else {}


def _write_verified(folder: Path, verified: Mapping[str, object]) -> None:
    temporary = folder / f"{_VERIFIED_FILE}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(verified, indent=1), "utf-8")
    temporary.replace(folder / _VERIFIED_FILE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(missing: list[Jar], folder: Path) -> None:
    """Bring each jar to ``folder``; one appears there only whole and verified."""
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise LocalBrokerError(
            f"the jars of Apache Kafka are not in {folder}, and jgo, which fetches them, is not installed",
            remedy="pip install 'streamlearn[broker]'",
        ) from error
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="download-") as temporary:
        context = MavenContext(
            resolver=PythonResolver(), repo_cache=Path(temporary), timeout=_DOWNLOAD_TIMEOUT_SECONDS
        )

        def fetch(jar: Jar) -> str | None:
            try:
                artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
                path = Path(artifact.resolve())
            except (OSError, RuntimeError) as error:  # the network's errors are OSErrors
                return f"{jar.coordinate} cannot be downloaded: {error}"
            if _sha256(path) != jar.sha256:
                return f"{jar.coordinate} came with other bytes than the pinned ones (SHA-256)"
            path.replace(folder / jar.file_name)
            return None

        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            failures = [failure for failure in pool.map(fetch, missing) if failure]
    if failures:
        raise LocalBrokerError(
            f"{len(failures)} of {len(missing)} jars of Apache Kafka did not come; the first: {failures[0]}",
            remedy="see that this machine reaches a Maven repository, and try again: what came is kept",
        )
