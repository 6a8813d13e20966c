"""What a device is asked for, and how work and data get there without the host waiting.

On cuda nothing of a mini-batch makes the host wait: inputs travel from pinned memory while earlier work runs,
work of fixed shapes is captured once as a CUDA graph and launched whole, answers travel back by themselves and
are waited for once a call, and other numbers are read behind (``Behind``).

On the CPU all of it happens at once.

Shape letters: B events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from streamlearn.config import TorchModel
from streamlearn.errors import LearnerError

Work = Callable[[], None]  # reads and writes tensors that stay where they are
Capture = Callable[[Work, torch.device], Work]
Record = Callable[[Work], Work]  # returns what repeats the work; does none of it

# The first calls of a library choose kernels and allocate workspaces, which must not be part of a graph.
CALLS_BEFORE_CAPTURE = 3


def device_of(settings: TorchModel) -> torch.device:
    """Return the device that the config asks for; raises LearnerError where torch does not see it."""
    if settings.device == "cpu":
        return torch.device("cpu")
    available = torch.cuda.is_available()
    if settings.device == "cuda" and not available:
        raise LearnerError(
            f"model {settings.name!r} asks for device 'cuda', and torch sees none here",
            remedy='set device = "auto" or "cpu", or find the cause with `python -m torch.utils.collect_env`',
        )
    return torch.device("cuda" if available else "cpu")


@contextmanager
def staged(out: Tensor) -> Iterator[npt.NDArray[Any]]:
    """Yield an array to be filled with what ``out`` shall hold; on cuda it is pinned, and sent without waiting.

    The allocator of pinned memory gives a piece out again once its copy is done, and not before.
    """
    if out.is_cuda:
        pinned = torch.empty(out.shape, dtype=out.dtype, pin_memory=True)
        yield pinned.numpy()
        out.copy_(pinned, non_blocking=True)
    else:
        yield out.numpy()


def captured(work: Work, device: torch.device) -> Work:
    """Return work that on cuda is launched as one graph from its fourth call on; elsewhere the work itself."""
    return Captured(work, _cuda_graph) if device.type == "cuda" else work


class Captured:
    """Does the work a few times, then records it and repeats the record.

    >>> done = []
    >>> work = Captured(lambda: done.append("work"), lambda work: lambda: done.append("replay"))
    >>> for _ in range(5):
    ...     work()
    >>> done
    ['work', 'work', 'work', 'replay', 'replay']
    """

    def __init__(self, work: Work, record: Record) -> None:
        self._work = work
        self._record = record
        self._calls_left = CALLS_BEFORE_CAPTURE
        self._replay: Work | None = None

    def __call__(self) -> None:
        if self._replay is not None:
            self._replay()
        elif self._calls_left > 0:
            self._calls_left -= 1
            self._work()
        else:
            self._replay = self._record(self._work)
            self._replay()


def _cuda_graph(work: Work) -> Work:
    graph = torch.cuda.CUDAGraph()
    # Another thread (another model, an exporter) may allocate meanwhile; that is no part of this graph.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    replay: Work = graph.replay
    return replay


class Answers:
    """Brings answers to the host; ``wait`` once a call, for all of them.

    The host waits for the answers alone: a step that was launched behind them goes on.
    """

    def __init__(self, device: torch.device) -> None:
        self._sent = _event() if device.type == "cuda" else None

    def fetch(self, answer_BO: Tensor) -> Tensor:
        """Return a copy on the host; on cuda it is not there before ``wait``."""
        copy_BO = answer_BO.to("cpu", non_blocking=True, copy=True)
        if self._sent is not None:
            self._sent.record()
        return copy_BO

    def wait(self) -> None:
        if self._sent is not None:
            self._sent.synchronize()  # the one wait of a call


class Behind:
    """Reads a flag of the device one reading late, so that the host need not wait for the newest.

    Parameters
    ----------
    late
        The device works by itself; else each flag is told at once.

    >>> flags = Behind(late=True)
    >>> [flags.read(torch.tensor(flag)) for flag in (True, False, True)], flags.newest()
    ([True, True, False], True)
    """

    def __init__(self, *, late: bool) -> None:
        self._late = late
        self._newest: tuple[Tensor, torch.cuda.Event | None] | None = None

    def read(self, flag: Tensor) -> bool:
        """Send for this flag, and return the one before; the first one is waited for."""
        before, self._newest = self._newest, self._send(flag)
        return self.newest() if before is None or not self._late else _arrived(before)

    def newest(self) -> bool:
        """Return the flag that was sent for last."""
        assert self._newest is not None, "one was sent for"
        return _arrived(self._newest)

    def forget(self) -> None:
        """Wait for the next flag as for a first one: what was read says nothing of it."""
        self._newest = None

    def _send(self, flag: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        copy = flag.to("cpu", non_blocking=True, copy=True)
        if not flag.is_cuda:
            return copy, None
        sent = _event()
        sent.record()
        return copy, sent


def _arrived(sent_for: tuple[Tensor, torch.cuda.Event | None]) -> bool:
    copy, sent = sent_for
    if sent is not None:
        sent.synchronize()
    return bool(copy)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]
