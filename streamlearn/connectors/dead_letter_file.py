"""Dead letters in a local file: JSON lines with the names that the topic's headers have.

Upholds `learned_once` where no topic is set: a rejected event's bytes are kept before the checkpoint that
counts it. After a failed write or fsync nothing is written on that descriptor any more: what the
kernel dropped is not known, so the sink fails for good, and a restart writes the letters again.
"""

from __future__ import annotations

import errno
import json
import os
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from streamlearn.connectors.dead_letter import HEADER_PREFIX, dead_letter_headers
from streamlearn.contracts import DeadLetter
from streamlearn.errors import DeadLetterError

_REMEDIES = {
    errno.ENOSPC: "free some space on the disk of dead_letters.path, then start again",
    errno.EDQUOT: "the disk quota is used up: free some space, then start again",
    errno.EACCES: "let this user write there, or set dead_letters.path to a file that it may write",
    errno.EPERM: "let this user write there, or set dead_letters.path to a file that it may write",
    errno.EROFS: "the file system is read-only: set dead_letters.path to another",
    errno.EISDIR: "dead_letters.path is a folder: name a file",
    errno.ENOTDIR: "a part of dead_letters.path is a file: name another",
}


class DeadLetterFile:
    """``contracts.DeadLetterSink`` that appends to one file; folders on the way are made.

    A last line that a crash tore is ended with a newline first, so that no letter is glued to it.

    Parameters
    ----------
    path
        The file; made if it is not there.
    stream
        The stream's name, for ``streamlearn.stream``.

    Raises
    ------
    DeadLetterError
        When the file cannot be opened for writing.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> letters = DeadLetterFile(Path(folder.name) / "dead.jsonl", "flights")
    >>> letters.send([DeadLetter("t", 0, 7, "tombstone", "", b"k", None)])
    >>> letters.flush(1.0), letters.close()
    (True, None)
    >>> print((Path(folder.name) / "dead.jsonl").read_text().strip())
    {"streamlearn.reason": "tombstone", "streamlearn.detail": "", "streamlearn.topic": "t",
     "streamlearn.partition": 0, "streamlearn.offset": 7, "streamlearn.stream": "flights",
     "key_base64": "aw==", "value_base64": null}
    >>> folder.cleanup()
    """

    def __init__(self, path: Path, stream: str) -> None:
        self._path = path
        self._stream = stream
        self._failure: DeadLetterError | None = None
        self._unsynced = False
        self._descriptor: int | None = None
        try:
            self._descriptor = self._open()
        except OSError as error:
            raise self._fail("opened", error) from error

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Append letters, in order. Raises DeadLetterError."""
        if letters:
            self._write("".join(map(self._line, letters)).encode("ascii"))

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was sent is on the disk. Always True. Raises DeadLetterError."""
        self._raise_failure()
        if self._unsynced:
            assert self._descriptor is not None, "flushed after close"
            self._unsynced = False  # before the sync: what another thread writes meanwhile is the next one's
            try:
                os.fsync(self._descriptor)  # a sync with the disk
            except OSError as error:
                raise self._fail("synced", error) from error
        return True

    def close(self) -> None:
        """Let go of the file. Idempotent. What was sent and not flushed may be lost in a power cut."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _line(self, letter: DeadLetter) -> str:
        fields: dict[str, str | int | None] = dict(dead_letter_headers(letter, self._stream))
        fields[HEADER_PREFIX + "partition"] = letter.partition
        fields[HEADER_PREFIX + "offset"] = letter.offset
        if letter.row is not None:
            fields[HEADER_PREFIX + "row"] = letter.row
        fields["key_base64"] = None if letter.key is None else b64encode(letter.key).decode("ascii")
        fields["value_base64"] = None if letter.value is None else b64encode(letter.value).decode("ascii")
        return json.dumps(fields) + "\n"

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
            self._unsynced = True
        if not size:
            # A new file's name is as durable as its folder.
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return descriptor

    def _write(self, lines: bytes) -> None:
        self._raise_failure()
        assert self._descriptor is not None, "sent after close"
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise self._fail("written", error) from error
        finally:
            self._unsynced = True  # behind the write: a flush of another thread may have come before it

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _fail(self, doing: str, error: OSError) -> DeadLetterError:
        self._failure = DeadLetterError(
            f"the dead-letter file {self._path} cannot be {doing}: {error.strerror}",
            remedy=_REMEDIES.get(error.errno or 0, "mend what the system says, then start again"),
        )
        return self._failure
