"""Where checkpoint files are kept: a local folder, or whatever fsspec reaches.

Both know files and folders by text paths with ``/``, create a file as a whole under a name that was free,
and know nothing of checkpoints. What each promises of a crash stands in its class. Errors of the operating
system become ``CheckpointError``; ``FileExistsError`` and ``FileNotFoundError`` stay, since they are answers.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from streamlearn.checkpoints.arrays import Buffer
from streamlearn.checkpoints.disk import Disk, Listed, MappedFile
from streamlearn.contracts import Mapped
from streamlearn.errors import CheckpointError

UNFINISHED_PREFIX = "."
UNFINISHED_SUFFIX = ".unfinished"
# What file systems without hard links answer to link().
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Place(Protocol):
    def entries(self, folder: str) -> list[Listed]:
        """What is in a folder, sorted by name; nothing where it does not exist. Unfinished files are left out."""
        ...

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def create(
        self, path: str, data: Sequence[Buffer], before_visible: Callable[[], None] = lambda: None
    ) -> None:
        """Write a whole file, folders included. Durable at return. Raises FileExistsError.

        ``before_visible`` is called as late as can be while nothing has its name yet; what it raises is
        raised, and nothing was created.
        """
        ...

    def draft(self, path: str, data: Sequence[Buffer]) -> Draft:
        """Write a whole file that nobody sees yet, folders included, and that a crash may take back."""
        ...

    def map(self, path: str) -> Mapped:
        """Return a file to be read where it lies. Raises FileNotFoundError."""
        ...

    def move(self, path: str, to: str) -> None: ...

    def remove(self, path: str) -> None: ...

    def discard_unfinished(self, folder: str, is_stale: Callable[[str], bool]) -> None:
        """Remove what is half written in a folder, where ``is_stale`` says so of the name that it was to get.

        Its ``create`` fails, if whoever began it still lives.
        """
        ...


class Draft(Protocol):
    """A file on its way; see ``Place.draft``."""

    @property
    def mapped(self) -> Mapped:
        """What was written, to be read where it lies, before and after ``finish``."""
        ...

    def finish(self) -> None:
        """Give it its name. Durable at return. Raises FileExistsError, and FileNotFoundError when it was discarded."""
        ...

    def discard(self) -> None:
        """Have it never been."""
        ...


class LocalPlace:
    """A folder of this machine.

    A file appears under its name only when its content is on the disk, and stays once ``create`` has
    returned, whatever happens to the process or the power (given a disk that honours fsync).
    Two processes cannot both create a name.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._durable: set[str] = set()  # folders whose own names were synced

    def entries(self, folder: str) -> list[Listed]:
        with _typed_errors(folder):
            try:
                listed = self._disk.list_folder(folder)
            except (FileNotFoundError, NotADirectoryError):
                return []
        return sorted((each for each in listed if not _is_unfinished(each.name)), key=_name)

    def read(self, path: str) -> bytes:
        with _typed_errors(path):
            return self._disk.read(path)

    def create(
        self, path: str, data: Sequence[Buffer], before_visible: Callable[[], None] = lambda: None
    ) -> None:
        """Write a file so that it is there as a whole or not at all.

        1. The folder is there, durably.
        2. The content goes to an unfinished file beside it, and to the disk.
        3. ``before_visible`` agrees. Its look must come after the unfinished file is there: see ``claims.py``.
        4. The file gets its name, which must be free.
        5. The name goes to the disk.

        Where a step fails, what was written is removed and nothing was published. A failed fsync is never
        tried again: the kernel may have dropped the pages and would then report success.
        Raises FileNotFoundError when the unfinished file, or the folder, was removed meanwhile.
        """
        folder = path.rpartition("/")[0]
        unfinished = _unfinished(path)
        with _typed_errors(path):
            # Step 1.
            self._make_folder(folder)
            with contextlib.ExitStack() as undo:
                # Step 2.
                undo.callback(self._remove_if_there, unfinished)
                try:
                    self._disk.close(self._written(unfinished, data, sync=True))
                except FileNotFoundError:
                    self._durable.clear()  # the folder was moved away: the next file makes it anew
                    raise
                # Step 3.
                before_visible()
                # Steps 4 and 5.
                self._make_visible(unfinished, path)
                undo.pop_all()

    def draft(self, path: str, data: Sequence[Buffer]) -> Draft:
        unfinished = _unfinished(path)
        with _typed_errors(path):
            self._make_folder(path.rpartition("/")[0])
            try:
                file = self._written(unfinished, data, sync=False)
            except FileNotFoundError:
                self._durable.clear()
                raise
            return _LocalDraft(self, unfinished, path, file, self._disk.map(unfinished))

    def map(self, path: str) -> Mapped:
        with _typed_errors(path):
            return self._disk.map(path)

    def finish(self, unfinished: str, path: str, file: int) -> None:
        """Make a draft durable and visible; its descriptor is closed in any case."""
        with _typed_errors(path):
            try:
                self._disk.sync(file)  # waits for the disk
            finally:
                self._disk.close(file)
            self._make_visible(unfinished, path)

    def _make_visible(self, unfinished: str, path: str) -> None:
        """Give what is on the disk its name, which must be free, and see that the name is on the disk, too."""
        with contextlib.ExitStack() as undo:
            undo.callback(self._remove_if_there, unfinished)
            self._give_name(unfinished, path)
            undo.callback(self._remove_if_there, path)
            self._remove_if_there(unfinished)
            self._disk.sync_folder(path.rpartition("/")[0])  # waits for the disk
            undo.pop_all()

    def move(self, path: str, to: str) -> None:
        with _typed_errors(path):
            self._disk.rename(path, to)
            self._disk.sync_folder(path.rpartition("/")[0])

    def remove(self, path: str) -> None:
        with _typed_errors(path):
            self._remove_if_there(path)

    def close(self, file: int) -> None:
        with _typed_errors("an unfinished file"):
            self._disk.close(file)

    def discard_unfinished(self, folder: str, is_stale: Callable[[str], bool]) -> None:
        with _typed_errors(folder):
            try:
                listed = self._disk.list_folder(folder)
            except FileNotFoundError:
                return
            for each in listed:
                if _is_unfinished(each.name) and is_stale(_finished(each.name)):
                    self._remove_if_there(f"{folder}/{each.name}")

    def _make_folder(self, folder: str) -> None:
        """See that a folder and those above it are there, each name durable in the folder above."""
        if folder in self._durable:
            return
        made = self._make_missing(folder)
        # Also those that were there: the process that made one may have died before this.
        while folder not in self._durable and folder.strip("/."):
            above = _above(folder)
            try:
                self._disk.sync_folder(above)
            except PermissionError:
                # Above what is ours. A process that may not read that folder has made nothing in it.
                if folder in made:
                    raise
            self._durable.add(folder)
            folder = above

    def _make_missing(self, folder: str) -> list[str]:
        """Create a folder, and those above it where there are none; return which were created."""
        try:
            self._disk.make_folder(folder)
        except FileExistsError:
            return []
        except FileNotFoundError:
            made = self._make_missing(_above(folder))
            with contextlib.suppress(FileExistsError):  # another process was faster
                self._disk.make_folder(folder)
            return [*made, folder]
        return [folder]

    def _written(self, path: str, data: Sequence[Buffer], *, sync: bool) -> int:
        """Write a new file, and return its descriptor, which is still open."""
        file = self._disk.open_new(path)
        with contextlib.ExitStack() as undo:
            undo.callback(self._disk.close, file)
            for buffer in data:
                rest = memoryview(buffer)
                while rest:
                    rest = rest[self._disk.write(file, rest) :]
            if sync:
                self._disk.sync(file)  # waits for the disk
            undo.pop_all()
        return file

    def _give_name(self, unfinished: str, path: str) -> None:
        try:
            self._disk.link(unfinished, path)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            # Without links an empty file claims the name. A crash here leaves it empty: a name alone, which is set
            # aside, so that the checkpoint before it counts.
            claim = self._disk.open_new(path)
            with contextlib.ExitStack() as undo:
                undo.callback(self._remove_if_there, path)
                self._disk.close(claim)
                self._disk.rename(unfinished, path)
                undo.pop_all()

    def _remove_if_there(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(path)


class _LocalDraft:
    """A draft beside the name that it is to get."""

    def __init__(self, place: LocalPlace, unfinished: str, path: str, file: int, mapped: Mapped) -> None:
        self._place = place
        self._unfinished = unfinished
        self._path = path
        self._file: int | None = file  # None once it is closed: its number may be another file's by then
        self.mapped = mapped

    def finish(self) -> None:
        file, self._file = self._file, None
        assert file is not None, "finished once; what failed is written anew"
        self._place.finish(self._unfinished, self._path, file)

    def discard(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._place.close(file)
        self._place.remove(self._unfinished)


class RemotePlace:
    """A folder of an fsspec file system.

    A file is put in one call under its own name. Where the store makes objects visible as a whole (S3, GCS,
    Azure, memory), so is the file; elsewhere a crash can leave a part of it, which does not verify, so that
    the checkpoint before it counts. Two writers of one name are told apart where the file system has the
    store itself create exclusively (its ``pipe_file(mode="create")``); fsspec's default looks for the name
    first, which two writers at the same instant can both pass. Durability is the store's.
    """

    def __init__(self, filesystem: Any) -> None:
        self._filesystem = filesystem

    def entries(self, folder: str) -> list[Listed]:
        with _typed_errors(folder):
            self._filesystem.invalidate_cache(folder)
            try:
                listed = self._filesystem.ls(folder, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted((each for info in listed if (each := self._listed(folder, info))), key=_name)

    def read(self, path: str) -> bytes:
        with _typed_errors(path):
            content: bytes = self._filesystem.cat_file(path)
            return content

    def create(
        self, path: str, data: Sequence[Buffer], before_visible: Callable[[], None] = lambda: None
    ) -> None:
        with _typed_errors(path):
            self._filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            before_visible()
            self._filesystem.pipe_file(path, b"".join(data), mode="create")

    def draft(self, path: str, data: Sequence[Buffer]) -> Draft:
        """Write a file of this machine without a name; it is uploaded when it is finished."""
        with _typed_errors(path):
            return _RemoteDraft(self, path, spooled(data))

    def map(self, path: str) -> Mapped:
        """Return a copy on this machine, which goes with the process."""
        with _typed_errors(path):
            return spooled([self._filesystem.cat_file(path)])

    def move(self, path: str, to: str) -> None:
        with _typed_errors(path):
            # Not mv(), which takes "[" and "*" in a path for a pattern.
            self._filesystem.cp_file(path, to)
            self._filesystem.rm_file(path)

    def remove(self, path: str) -> None:
        with _typed_errors(path), contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(path)

    def discard_unfinished(self, folder: str, is_stale: Callable[[str], bool]) -> None:
        """Nothing: an upload that did not end is not visible."""

    def _listed(self, folder: str, info: dict[str, Any]) -> Listed | None:
        path = info["name"].rstrip("/")
        name = path.rpartition("/")[2]
        # Object stores list a folder's own marker, and the file itself where a file was asked for.
        if not name or path.rstrip("/").lstrip("/") == folder.strip("/"):
            return None
        is_folder = info["type"] == "directory"
        written_at = 0.0 if is_folder else _seconds(info, self._filesystem, path)
        return Listed(name, is_folder, int(info["size"] or 0), written_at)


class _RemoteDraft:
    """A draft on this machine."""

    def __init__(self, place: RemotePlace, path: str, mapped: Mapped) -> None:
        self._place = place
        self._path = path
        self.mapped = mapped

    def finish(self) -> None:
        self._place.create(self._path, [self.mapped.content])

    def discard(self) -> None:
        """Nothing: the file goes with the object."""


def spooled(data: Sequence[Buffer]) -> Mapped:
    """Return a file without a name, in the folder for such (TMPDIR)."""
    with tempfile.TemporaryFile() as file:
        for buffer in data:
            file.write(buffer)
        file.flush()
        return MappedFile(file.fileno())


def open_place(url: str, disk: Disk | None = None) -> tuple[Place, str]:
    """Return the place that a path or URL is in, and its path there.

    Raises
    ------
    CheckpointError
        The URL's scheme is unknown, or what serves it is not installed.

    >>> open_place("checkpoints/")[1], open_place("file:///var/lib/streamlearn")[1]
    ('checkpoints', '/var/lib/streamlearn')
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme in ("file", "local"):
        path = rest if separator else url
        return LocalPlace(disk or Disk()), path.rstrip("/") or path[:1]
    import fsspec.core  # only where a URL is used: it loads what the scheme needs

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise CheckpointError(
            f"no file system for {scheme}:// can be used: {error}",
            remedy=f"pip install the fsspec file system for {scheme} (s3fs, gcsfs, adlfs), or name a folder",
        ) from error
    return RemotePlace(filesystem), path.rstrip("/")


@contextlib.contextmanager
def _typed_errors(path: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror or error}",
            remedy="see that the disk has space and the folder may be written to by this user; "
            "what was published before is untouched",
        ) from error


def _above(folder: str) -> str:
    return folder.rpartition("/")[0] or ("/" if folder.startswith("/") else ".")


def _unfinished(path: str) -> str:
    """Return where a file is written before it gets its name."""
    folder, name = path.rpartition("/")[::2]
    # Drawn, not counted: the processes of two containers may both have the number 1.
    return f"{folder}/{UNFINISHED_PREFIX}{name}.{secrets.token_hex(8)}{UNFINISHED_SUFFIX}"


def _is_unfinished(name: str) -> bool:
    return name.startswith(UNFINISHED_PREFIX) and name.endswith(UNFINISHED_SUFFIX)


def _finished(unfinished: str) -> str:
    """Return the name that an unfinished file was to get."""
    return unfinished.removeprefix(UNFINISHED_PREFIX).removesuffix(UNFINISHED_SUFFIX).rpartition(".")[0]


def _name(listed: Listed) -> str:
    return listed.name


def _seconds(info: dict[str, Any], filesystem: Any, path: str) -> float:
    """Return when a file was written, by whichever of the names that fsspec's file systems use."""
    when = next(
        (info[key] for key in ("mtime", "LastModified", "last_modified", "updated") if key in info), None
    )
    if when is None:
        when = filesystem.modified(path)
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return float(when)
