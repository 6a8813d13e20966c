"""What happens when the device has no room: the same work in smaller parts, and else an error that says so.

A mini-batch stays one mini-batch, and its step one step: the gradient of its mean loss is the sum of its
parts' gradients, each weighted by its rows, added in the order of the rows. So only last bits change, as
they do from device to device. Parts are halves of what did not fit, down to a single event. What ran out of
memory has changed nothing: weights move in the optimizer alone, once the whole gradient is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from streamlearn.errors import LearnerOutOfMemory

Gradient = tuple[Tensor, Tensor]  # of all weights, flat, and the loss


def in_parts(rows: int, gradient_of: Callable[[slice], Gradient]) -> Gradient | None:
    """Return gradient and loss of so many rows, in halves, quarters, ... of them; ``None``: not one fits.

    ``gradient_of`` gives them for the mean over some of the rows, and may use their memory again.

    >>> def gradient_of(rows):
    ...     if rows.stop - rows.start > 2:
    ...         raise torch.OutOfMemoryError
    ...     x = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])[rows]
    ...     return x.mean()[None], x.square().mean()
    >>> in_parts(5, gradient_of)
    (tensor([3.]), tensor(11.))
    """
    part = rows
    while part > 1:
        part = -(-part // 2)
        free_caches()
        gradient = _sum(rows, part, gradient_of)
        if gradient is not None:
            return gradient
    return None


def _sum(rows: int, part: int, gradient_of: Callable[[slice], Gradient]) -> Gradient | None:
    total: Gradient | None = None
    for start in range(0, rows, part):
        span = slice(start, min(start + part, rows))
        share = (span.stop - span.start) / rows
        try:
            gradient, loss = gradient_of(span)
        except torch.OutOfMemoryError:
            return None
        gradient, loss = gradient * share, loss * share
        total = (gradient, loss) if total is None else (total[0] + gradient, total[1] + loss)
    return total


def in_halves(rows: int, answer_of: Callable[[slice], Tensor]) -> Tensor:
    """Return the answers of so many rows; where they do not fit at once, of one half after the other.

    Raises
    ------
    torch.OutOfMemoryError
        A single row does not fit.

    >>> def answer_of(rows):
    ...     if rows.stop - rows.start > 2:
    ...         raise torch.OutOfMemoryError
    ...     return torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])[rows]
    >>> in_halves(5, answer_of)
    tensor([1., 2., 3., 4., 5.])
    """
    return _in_halves(slice(0, rows), answer_of)


def _in_halves(span: slice, answer_of: Callable[[slice], Tensor]) -> Tensor:
    try:
        return answer_of(span)
    except torch.OutOfMemoryError:
        if span.stop - span.start == 1:
            raise
    # Outside of the handler: its traceback keeps what did not fit alive.
    free_caches()
    middle = (span.start + span.stop) // 2
    first = _in_halves(slice(span.start, middle), answer_of)
    return torch.cat((first, _in_halves(slice(middle, span.stop), answer_of)))


def free_caches() -> None:
    """Give back what torch keeps for later; other processes, or another size of block, may need it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def memory_named(model: str) -> Iterator[None]:
    """Turn running out of memory into the operating error that it is."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise out_of_memory(model, str(error)) from error


def out_of_memory(model: str, what: str) -> LearnerOutOfMemory:
    """Return the error of a model that has no room."""
    return LearnerOutOfMemory(
        f"model {model!r} has no room on its device, not even in parts: {what.strip().partition(chr(10))[0]}",
        remedy="free the device (`nvidia-smi` names who holds it); or make the model smaller (hidden, "
        'embedding_buckets, embedding_width), stream.micro_batch_events lower, or set device = "cpu"; the last '
        "checkpoint stands",
    )
