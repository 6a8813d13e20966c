"""One local file as a partition: its lines by number, read in chunks, found again quickly.

The file is taken as it stood when it was opened; what is appended later is read by the next run. Memory
is bounded by a chunk, or by the longest line. A sparse index from line to byte grows with what is read,
so going back costs a scan of one stride, and only going where nobody has been costs a scan of the file.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path

import numpy as np

from streamlearn.errors import SourceError

# One index entry for each so many bytes: 16 bytes an entry, and a scan of one stride takes under 1 ms.
STRIDE_BYTES = 1024 * 1024


class LineFile:
    """The lines of one file, numbered from 0. Owned by one thread.

    A line ends with ``\\n``; the last one needs none. ``\\r`` before it stays in the line.

    Parameters
    ----------
    path
        An ordinary file.
    chunk_bytes
        How much is read at once.
    line_bytes_max
        A longer line cannot be read.

    Raises
    ------
    SourceError
        When the file cannot be opened.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"a\\nbb\\nccc"); file.flush()
    ...     lines = LineFile(Path(file.name))
    ...     lines.seek(1), lines.read(5), lines.next_line, lines.at_end, lines.count()
    (True, b'bb\\nccc\\n', 3, True, 3)
    """

    def __init__(
        self, path: Path, *, chunk_bytes: int = STRIDE_BYTES, line_bytes_max: int = 64 * STRIDE_BYTES
    ) -> None:
        self.path = path
        self._chunk_bytes = chunk_bytes
        self._line_bytes_max = line_bytes_max
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(
                f"{path} cannot be opened: {error.strerror}",
                remedy="let this user read it, or correct source.files.paths",
            ) from error
        self._size = os.fstat(self._descriptor).st_size
        self._index_lines = [0]
        self._index_bytes = [0]
        self._count: int | None = None
        self._next_line = 0
        self._unread = 0  # where in the file the next chunk begins
        self._ahead = b""
        self._ends = np.zeros(0, np.int64)  # where in `_ahead` each line ends
        self._taken = 0  # of `_ends`
        self._start = 0  # in `_ahead`, of the next line

    @property
    def next_line(self) -> int:
        """The number of the line that ``read`` brings next."""
        return self._next_line

    @property
    def at_end(self) -> bool:
        """Whether no line is left."""
        return self._taken == len(self._ends) and self._unread == self._size and not self._rest()

    def read(self, lines_max: int) -> bytes:
        """Return the next lines, at most so many, each with its ``\\n``; no bytes at the end.

        Raises SourceError when a line is longer than ``line_bytes_max``, or the file shrank meanwhile.
        """
        assert lines_max > 0
        if self._taken == len(self._ends):
            self._fill()
        upto = min(self._taken + lines_max, len(self._ends))
        if upto == self._taken:
            return b""
        stop = int(self._ends[upto - 1]) + 1
        lines = self._ahead[self._start : stop]
        self._next_line += upto - self._taken
        self._taken, self._start = upto, stop
        return lines

    def seek(self, line: int) -> bool:
        """Read on from this line; False where the file has fewer, and then nothing is left to read."""
        nearest = bisect_right(self._index_lines, line) - 1
        self._go(self._index_lines[nearest], self._index_bytes[nearest])
        while self._next_line < line and not self.at_end:
            self.read(line - self._next_line)
        return self._next_line == line

    def count(self) -> int:
        """Return the number of lines. The first call reads what has not been read yet."""
        if self._count is None:
            here = self._next_line
            self._go(self._index_lines[-1], self._index_bytes[-1])
            while not self.at_end:
                self.read(self._chunk_bytes)
            self._count = self._next_line
            self.seek(here)
        return self._count

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def _go(self, line: int, byte: int) -> None:
        self._next_line, self._unread = line, byte
        self._ahead, self._start = b"", 0
        self._ends, self._taken = self._ends[:0], 0

    def _rest(self) -> bytes:
        return self._ahead[self._start :]

    def _fill(self) -> None:
        """Read on until there is a whole line, or nothing is left."""
        ahead = self._rest()
        line_begins = self._unread - len(ahead)
        if line_begins - self._index_bytes[-1] >= STRIDE_BYTES:
            self._index_lines.append(self._next_line)
            self._index_bytes.append(line_begins)
        searched = len(ahead)
        while self._unread < self._size and ahead.find(b"\n", searched) < 0:
            if len(ahead) > self._line_bytes_max:
                raise SourceError(
                    f"{self.path}: line {self._next_line} (from 0) is longer than {self._line_bytes_max} bytes",
                    remedy="is this a JSON-lines file? If so, raise source.files.buffer_bytes_max",
                )
            searched = len(ahead)
            # As much again as there is, so that a long line is not copied once a chunk.
            ahead += self._read(max(self._chunk_bytes, len(ahead)))
        if self._unread == self._size and ahead and not ahead.endswith(b"\n"):
            ahead += b"\n"
        self._ahead, self._start, self._taken = ahead, 0, 0
        self._ends = np.flatnonzero(np.frombuffer(ahead, np.uint8) == ord("\n"))

    def _read(self, nbytes: int) -> bytes:
        chunk = os.pread(self._descriptor, min(nbytes, self._size - self._unread), self._unread)
        if not chunk:
            raise SourceError(
                f"{self.path} became shorter while it was read: {self._unread} of {self._size} bytes are there",
                remedy="do not change files while they are read; start again from the last checkpoint",
            )
        self._unread += len(chunk)
        return chunk
