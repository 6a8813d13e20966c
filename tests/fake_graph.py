"""A stand-in for a CUDA graph that runs on the CPU: operators are recorded with the very tensors that they met.

As in a CUDA graph, a replay asks no Python of the work: it repeats the operators on the recorded tensors, and
what was a number of the host when it was recorded stays that number. So work that would go wrong in a CUDA
graph (it made a new tensor that somebody looks for, or read what the host has changed since) goes wrong here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from streamlearn.learners.torch_device import Captured, Work


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], Any, Any, list[torch.Tensor]]] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(operator)
        assert "_local_scalar_dense" not in name, "a number was read from the device: on cuda, a sync"
        assert "lift_fresh" not in name, "a tensor was made of a number of the host: on cuda, a copy"
        given = operator(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(given) if isinstance(leaf, torch.Tensor)]
        self.calls.append((operator, args, kwargs or {}, made))
        return given


class FakeGraphs:
    """A ``Capture`` that counts what it recorded and replayed.

    >>> graphs, total = FakeGraphs(), torch.zeros(())
    >>> work = graphs(lambda: total.add_(1), torch.device("cpu"))
    >>> for _ in range(6):
    ...     work()
    >>> total.item(), graphs.recorded, graphs.replayed
    (6.0, 1, 2)
    """

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work: Work, device: torch.device) -> Work:
        return Captured(work, self._record)

    def _record(self, work: Work) -> Work:
        with _Recorder() as recorder:
            work()  # a CUDA graph would not do it now, so the first replay is skipped
        self.recorded += 1
        is_first = True

        def replay() -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                return
            self.replayed += 1
            for operator, args, kwargs, made in recorder.calls:
                again = [
                    leaf for leaf in tree_leaves(operator(*args, **kwargs)) if isinstance(leaf, torch.Tensor)
                ]
                for old, new in zip(made, again, strict=True):
                    if old.data_ptr() != new.data_ptr():
                        old.copy_(new)

        return replay
