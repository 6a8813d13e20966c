"""Compiles kernels: functions over arrays and addresses that run without the interpreter's lock.

Upholds the numeric half of `replay_equals_run`: neither fast math nor parallel sums, so that what a kernel
returns is defined bit by bit, and a kernel is never older than any source that it may be made of.

Compiled kernels are kept below ``Environment.cache_folder``, one folder for each state of the sources: an
upgrade compiles anew, and never meets what an older version left. Numba's own cache looks at the file of
the outermost function alone, and a file of it that a crash cut short fails every start.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba import extending
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from streamlearn.environment import Environment

_Parameters = ParamSpec("_Parameters")
_Returned = TypeVar("_Returned")

FOLDERS_KEPT = 3  # of older states of the sources: an upgrade may be taken back
_IMPORT = re.compile(rb"^from (streamlearn[\w.]*) import", re.MULTILINE)


def kernel(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """Compile a function when it is first called with arguments of some types; keep it on disk.

    Out-of-range indices and addresses are the caller's to rule out. Division by zero gives what NumPy gives.

    >>> @kernel
    ... def double(value: float) -> float:
    ...     return value * 2
    >>> double(21.0)
    42.0
    """
    return _kept(function, {})


def inlined(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """Compile a function into the kernels that call it: for what every value passes through.

    LLVM by itself leaves such functions apart, and passing their arguments takes longer than they do.
    """
    return _compiled(function, {"inline": "always"})


def intrinsic(define: Callable[..., Any]) -> Any:
    """Have kernels call what ``define`` generates: Numba's own, whose type does not know that they call it without the
    context."""
    return extending.intrinsic(define)


def uncounted(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """Compile a kernel that allocates nothing, and so needs no reference counts.

    An array in a tuple costs two atomic operations each time it is looked at otherwise (measured: 2.2 us an
    event of 5 numbers and 3 categories instead of 0.5).
    """
    return _kept(function, {"_nrt": False})


def uncounted_inlined(function: Callable[_Parameters, _Returned]) -> Callable[_Parameters, _Returned]:
    """Compile a function into the ``uncounted`` kernels that call it."""
    return _compiled(function, {"_nrt": False, "inline": "always"})


def _compiled(
    function: Callable[_Parameters, _Returned], options: Mapping[str, Any]
) -> Callable[_Parameters, _Returned]:
    # fastmath would let the compiler reorder sums.
    compile_it: Any = numba.njit(nogil=True, error_model="numpy", fastmath=False, **options)
    return cast(Callable[_Parameters, _Returned], compile_it(function))


def _kept(
    function: Callable[_Parameters, _Returned], options: Mapping[str, Any]
) -> Callable[_Parameters, _Returned]:
    compiled = _compiled(function, options)
    _prune()
    # Numba offers no other door to where its cache is.
    setattr(compiled, "_cache", _KernelCache(function))  # type: ignore[no-untyped-call]  # noqa: B010
    return compiled


def is_compiled() -> bool:
    """Return whether a process compiled kernels of these sources before; if not, the first batch waits."""
    folder = kernels_folder()
    return folder.is_dir() and any(folder.rglob("*.nbi"))


@cache
def kernels_folder() -> Path:
    """Return where the kernels of these sources are kept; it need not exist."""
    return Environment().cache_folder / "kernels" / _digest_of_sources()


def _digest_of_sources() -> str:
    """Digest the modules that have kernels, and those whose constants and kernels they import."""
    package = Path(__file__).parent
    sources = {path: path.read_bytes() for path in package.rglob("*.py")}
    with_kernels = [path for path, text in sources.items() if b"from streamlearn.native import" in text]
    compiled_in = {
        package.joinpath(*name.decode().split(".")[1:]).with_suffix(".py")
        for path in with_kernels
        for name in _IMPORT.findall(sources[path])
    }
    digest = sha256(numba.__version__.encode())
    for path in sorted({*with_kernels, *(compiled_in & sources.keys())}):
        digest.update(sources[path])
    return digest.hexdigest()[:32]


class _KernelFolder(_CacheLocator):
    """Tells Numba where a kernel is kept, be it in a folder that can only be read."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def get_cache_path(self) -> str:
        return str(kernels_folder())

    def get_source_stamp(self) -> str:
        return ""  # the folder's name says which sources

    def get_disambiguator(self) -> str:
        return f"{self._function.__code__.co_firstlineno}"

    def ensure_cache_path(self) -> None:
        with suppress(OSError):  # what is there already can be read
            kernels_folder().mkdir(parents=True, exist_ok=True)

    @classmethod
    def from_function(cls, function: Any, _path: str) -> _KernelFolder:
        locator = cls(function)
        locator.ensure_cache_path()
        return locator


class _KernelFiles(CompileResultCacheImpl):
    _locator_classes = [_KernelFolder]  # type: ignore[list-item]  # noqa: RUF012


class _KernelCache(FunctionCache):
    """Numba's cache on disk, that writes anew what it cannot read and does without what it cannot write."""

    _impl_class = _KernelFiles

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(signature, target_context)  # type: ignore[no-untyped-call]
        except (AttributeError, EOFError, ImportError, OSError, UnpicklingError):
            with suppress(OSError):
                self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        with suppress(OSError):  # a full disk, or a folder of another user: the next start compiles again
            super().save_overload(signature, data)  # type: ignore[no-untyped-call]


@cache
def _prune() -> None:
    """Remove what older states of the sources left, but for the last few."""
    folder = kernels_folder()
    with suppress(OSError):
        others = [each for each in folder.parent.iterdir() if each != folder]
        for old in sorted(others, key=lambda each: each.stat().st_mtime)[:-FOLDERS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
