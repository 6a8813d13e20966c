"""A disk that loses power, under the production checkpoint code.

What it keeps, and what it may lose:

- **Unsynced data is lost.** What was written and not synced survives a power loss sector by sector, each or not.
- **Torn writes.** So a file may come back with some new sectors, zeros in place of others, or cut short.
- **Names before data.** A link or rename is visible at once, and may be durable before the content is.
- **Unsynced names are lost.** Of what was added to a folder, moved and removed since it was synced, any subset
  survives, each as a whole; syncing a file does not sync its name.
- **ENOSPC.** A full disk takes part of a write, then refuses the rest.
- **EIO.** A sync that fails has dropped the pages: they are still read, they are not on the disk, and the next sync
  of the file succeeds without writing them. Entries of a folder whose sync failed stay as they are, unsynced.
- **Bit flips at rest.** A bit of a file changes, without any error when it is read.
- **A process that is killed** changes nothing that it did before: the page cache survives it.
- What it does not do: lose what was synced, reorder what is read, or let two calls overlap.

``SimulatedDisk`` is the hardware and its file system; ``Mount`` is what one process sees of it, until it dies. All
chance comes from the generator that it is given.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from streamlearn.checkpoints.disk import Disk, Listed
from streamlearn.contracts import Mapped

SECTOR_BYTES = 64  # small, so that small files tear


class Dead(BaseException):
    """Raised in a process that was killed or lost its machine: it does nothing more."""


@dataclass(eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)  # what is read
    durable: bytearray = field(default_factory=bytearray)  # what is on the disk
    dirty: set[int] = field(default_factory=set)  # sectors that are not
    written_at: float = 0.0

    def write(self, data: bytes) -> None:
        first = len(self.content) // SECTOR_BYTES
        self.content += data
        self.dirty.update(range(first, -(-len(self.content) // SECTOR_BYTES)))

    def flush(self, sectors: set[int]) -> None:
        for sector in sorted(sectors):
            start = sector * SECTOR_BYTES
            piece = self.content[start : start + SECTOR_BYTES]
            self.durable.extend(bytes(max(0, start + len(piece) - len(self.durable))))
            self.durable[start : start + len(piece)] = piece

    def lose_power(self, chance: random.Random, share: float) -> None:
        self.flush({sector for sector in sorted(self.dirty) if chance.random() < share})
        self.dirty.clear()
        self.content = bytearray(self.durable)


@dataclass(eq=False)
class _Folder:
    entries: dict[str, _File | _Folder] = field(default_factory=dict)  # what is seen
    durable: dict[str, _File | _Folder] = field(default_factory=dict)
    # What happened since the last sync: names that went, and what came under which name.
    unsynced: list[tuple[str | None, str | None, _File | _Folder | None]] = field(default_factory=list)

    def change(self, gone: str | None, come: str | None, node: _File | _Folder | None) -> None:
        self.unsynced.append((gone, come, node))
        _change(self.entries, gone, come, node)

    def sync(self) -> None:
        for each in self.unsynced:
            _change(self.durable, *each)
        self.unsynced.clear()

    def lose_power(self, chance: random.Random, share: float) -> None:
        self.unsynced = [each for each in self.unsynced if chance.random() < share]
        self.sync()
        self.entries = dict(self.durable)


class SimulatedDisk:
    """One disk, which several processes may use.

    >>> disk = SimulatedDisk(random.Random(1))
    >>> mount = disk.mount()
    >>> mount.make_folder("/data"); mount.sync_folder("/")
    >>> file = mount.open_new("/data/note"); _ = mount.write(file, memoryview(b"learned")); mount.sync(file)
    >>> disk.files()
    {'/data/note': b'learned'}
    >>> disk.lose_power(share=0.0)  # the content was synced, its name was not
    >>> disk.files()
    {}
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.has_links = True  # some file systems have none
        self._capacity_bytes: int | None = None
        self._root = _Folder()
        self._mounts: list[Mount] = []
        self._clock = itertools.count(1_700_000_000)

    def mount(self) -> Mount:
        """Return what a new process sees."""
        mount = Mount(self)
        self._mounts.append(mount)
        return mount

    def lose_power(self, share: float | None = None) -> None:
        """Kill all processes, and lose of what was not synced all but a share (drawn, if not given)."""
        for mount in self._mounts:
            mount.alive = False
        self._mounts.clear()
        share = self.chance.choice([0.0, 0.5, 1.0]) if share is None else share
        for node in self._nodes():
            node.lose_power(self.chance, share)

    def flip_bit(self, path: str) -> None:
        """Change one bit of a file."""
        file = self.file(path)
        bit = self.chance.randrange(8 * len(file.content))
        for content in (file.content, file.durable):
            if bit // 8 < len(content):
                content[bit // 8] ^= 1 << bit % 8

    def put(self, path: str, content: bytes) -> None:
        """Put something in place of a file's content, as somebody else could who may write to it."""
        file = self.file(path)
        file.content, file.durable = bytearray(content), bytearray(content)
        file.dirty.clear()

    def files(self) -> dict[str, bytes]:
        """Return the content of all files by path, as it would be read now."""
        found = {}
        pending: list[tuple[str, _Folder]] = [("", self._root)]
        while pending:
            above, folder = pending.pop()
            for name, node in sorted(folder.entries.items()):
                if isinstance(node, _Folder):
                    pending.append((f"{above}/{name}", node))
                else:
                    found[f"{above}/{name}"] = bytes(node.content)
        return found

    def free_bytes(self) -> int:
        if self._capacity_bytes is None:
            return 1 << 40
        return self._capacity_bytes - self._used_bytes()

    def fill(self, free_bytes: int | None) -> None:
        """Leave so many bytes free; ``None``: as many as anybody wants."""
        self._capacity_bytes = None if free_bytes is None else self._used_bytes() + free_bytes

    def now(self) -> float:
        return float(next(self._clock))

    def folder(self, path: str) -> _Folder:
        node: _File | _Folder = self._root
        for name in path.strip("/").split("/") if path.strip("/") else ():
            if not isinstance(node, _Folder):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            if name not in node.entries:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = node.entries[name]
        if not isinstance(node, _Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return node

    def file(self, path: str) -> _File:
        above, _, name = path.rpartition("/")
        node = self.folder(above).entries.get(name)
        if not isinstance(node, _File):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def _used_bytes(self) -> int:
        return sum(len(node.content) for node in self._nodes() if isinstance(node, _File))

    def _nodes(self) -> list[_File | _Folder]:
        """Everything that is seen or durable, each once."""
        found: dict[int, _File | _Folder] = {}
        pending: list[_File | _Folder] = [self._root]
        while pending:
            node = pending.pop()
            if id(node) not in found:
                found[id(node)] = node
                if isinstance(node, _Folder):
                    pending += [*node.entries.values(), *node.durable.values()]
                    pending += [come for _, _, come in node.unsynced if come is not None]
        return list(found.values())


@dataclass(frozen=True)
class _Mapped:
    content: memoryview

    def rest(self) -> None:
        pass


class Mount(Disk):
    """The disk as one process sees it, until it dies."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk
        self._open: dict[int, _File] = {}
        self._numbers = itertools.count(3)
        self.alive = True
        # Called with each step's name and path before it is done. What it raises, the step raises.
        self.before: Callable[[str, str], None] = lambda step, path: None

    def _step(self, step: str, path: str) -> None:
        if not self.alive:
            raise Dead
        self.before(step, path)
        if not self.alive:
            raise Dead

    def list_folder(self, folder: str) -> list[Listed]:
        self._step("list_folder", folder)
        return [
            Listed(name, True, 0, 0.0)
            if isinstance(node, _Folder)
            else Listed(name, False, len(node.content), node.written_at)
            for name, node in self._disk.folder(folder).entries.items()
        ]

    def read(self, path: str) -> bytes:
        self._step("read", path)
        return bytes(self._disk.file(path).content)

    def map(self, path: str) -> Mapped:
        return _Mapped(memoryview(self.read(path)))

    def make_folder(self, folder: str) -> None:
        self._step("make_folder", folder)
        self._add(folder, _Folder())

    def open_new(self, path: str) -> int:
        self._step("open_new", path)
        file = _File(written_at=self._disk.now())
        self._add(path, file)
        number = next(self._numbers)
        self._open[number] = file
        return number

    def write(self, file: int, data: memoryview) -> int:
        self._step("write", str(file))
        most = self._disk.chance.choice([1 << 20, 1 << 20, 100])  # the system may take less than it is given
        taken = min(len(data), most, self._disk.free_bytes())
        if taken <= 0 < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._open[file].write(bytes(data[:taken]))
        return taken

    def sync(self, file: int) -> None:
        try:
            self._step("sync", str(file))
        except OSError:
            self._open[file].dirty.clear()  # and not written
            raise
        self._open[file].flush(self._open[file].dirty)
        self._open[file].dirty.clear()

    def close(self, file: int) -> None:
        self._step("close", str(file))
        del self._open[file]

    def link(self, path: str, to: str) -> None:
        self._step("link", to)
        if not self._disk.has_links:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), to)
        self._add(to, self._disk.file(path))

    def rename(self, path: str, to: str) -> None:
        self._step("rename", to)
        folder, _, name = path.rpartition("/")
        assert to.rpartition("/")[0] == folder, "moves between folders are not simulated"
        node = self._disk.file(path)
        self._disk.folder(folder).change(name, to.rpartition("/")[2], node)

    def remove(self, path: str) -> None:
        self._step("remove", path)
        self._disk.file(path)
        folder, _, name = path.rpartition("/")
        self._disk.folder(folder).change(name, None, None)

    def sync_folder(self, folder: str) -> None:
        self._step("sync_folder", folder)
        self._disk.folder(folder).sync()

    def _add(self, path: str, node: _File | _Folder) -> None:
        above, _, name = path.rpartition("/")
        folder = self._disk.folder(above)
        if name in folder.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        folder.change(None, name, node)


def _change(
    entries: dict[str, _File | _Folder], gone: str | None, come: str | None, node: _File | _Folder | None
) -> None:
    if gone is not None:
        entries.pop(gone, None)
    if come is not None and node is not None:
        entries[come] = node
