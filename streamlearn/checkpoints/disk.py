"""The few calls by which a checkpoint reaches a local disk, so that a simulator can pass a disk of its own.

All of them raise ``OSError``, and nothing else.
"""

from __future__ import annotations

import errno
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

from streamlearn.contracts import Mapped


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a folder."""

    name: str
    is_folder: bool
    nbytes: int
    written_at: float  # seconds since 1970


class MappedFile:
    """``contracts.Mapped`` of a file of this machine: valid for as long as this object, be the file removed."""

    def __init__(self, file: int) -> None:
        # Nothing cannot be mapped. An empty file is none of ours, but a crash or a bad disk may leave one.
        self._map = (
            mmap.mmap(file, 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) if os.fstat(file).st_size else None
        )
        self.content = memoryview(self._map or b"")

    def rest(self) -> None:
        """Let go of the memory: the pages are the file's own, and come back from it."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


class Disk:
    """The machine's own file systems.

    >>> import tempfile
    >>> disk, folder = Disk(), tempfile.TemporaryDirectory()
    >>> file = disk.open_new(f"{folder.name}/note")
    >>> disk.write(file, memoryview(b"learned")), disk.sync(file), disk.close(file)
    (7, None, None)
    >>> disk.read(f"{folder.name}/note"), [listed.name for listed in disk.list_folder(folder.name)]
    (b'learned', ['note'])
    >>> folder.cleanup()
    """

    def list_folder(self, folder: str) -> list[Listed]:
        """Return the entries of a folder, in no order."""
        found = []
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    facts = entry.stat()
                except FileNotFoundError:
                    continue  # removed since the folder was read: it is not in it
                found.append(Listed(entry.name, entry.is_dir(), facts.st_size, facts.st_mtime))
        return found

    def read(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def map(self, path: str) -> Mapped:
        """Return a file to be read where it lies."""
        with Path(path).open("rb") as file:
            return MappedFile(file.fileno())

    def make_folder(self, folder: str) -> None:
        """Create one folder in a folder that exists. Raises FileExistsError."""
        Path(folder).mkdir()

    def open_new(self, path: str) -> int:
        """Create a file for writing and return its descriptor. Raises FileExistsError."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, file: int, data: memoryview) -> int:
        """Write what the disk takes at once, and return how many bytes that was."""
        return os.write(file, data)

    def sync(self, file: int) -> None:
        """Wait until the file's content is on the disk."""
        os.fsync(file)

    def close(self, file: int) -> None:
        os.close(file)

    def link(self, path: str, to: str) -> None:
        """Give a file a second name. Raises FileExistsError: nothing is ever replaced."""
        os.link(path, to)

    def rename(self, path: str, to: str) -> None:
        """Move a file within its file system, replacing what is there."""
        Path(path).rename(to)

    def remove(self, path: str) -> None:
        Path(path).unlink()

    def sync_folder(self, folder: str) -> None:
        """Wait until the names in a folder are on the disk."""
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        except OSError as error:
            # Some network file systems cannot sync a folder and need not (PostgreSQL's fsync_fname, too).
            if error.errno not in (errno.EINVAL, errno.EBADF):
                raise
        finally:
            os.close(file)
