"""What happens to the disk while a worker uses it, at a call that the script says."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from checkpoint_script import Fault
from disk import Dead, Mount, SimulatedDisk


class Faulty:
    """Does a fault to the disk while a worker uses it."""

    def __init__(self, disk: SimulatedDisk, mount: Mount, fault: Fault | None) -> None:
        self._disk = disk
        self._mount = mount
        self._fault = fault
        self._calls = 0
        self.happened = False  # one that the process lives through
        self.was_published = False  # what was written had its name, durably, before it
        self._linked = False

    def __enter__(self) -> Faulty:
        self._mount.before = self._before
        if self._fault is not None and self._fault.kind == "full":
            self._disk.fill(self._fault.at)
            self.happened = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._mount.before = lambda step, path: None
        self._disk.fill(None)
        return kind is not None and issubclass(kind, Dead)

    def _before(self, step: str, path: str) -> None:
        self.was_published |= self._linked and step in ("list_folder", "read")
        self._linked |= step == "link"
        number, self._calls = self._calls, self._calls + 1
        match self._fault:
            case Fault("power", at) if at == number:
                self._disk.lose_power()
            case Fault("kill", at) if at == number:
                self._mount.alive = False
            case Fault("error", at) if at == number:
                self._fail()
            case Fault("sync errors") if step.startswith("sync"):
                self._fail()

    def _fail(self) -> None:
        self.happened = True
        raise OSError(errno.EIO, os.strerror(errno.EIO))
