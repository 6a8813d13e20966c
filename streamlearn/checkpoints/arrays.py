"""Arrays as safetensors: a length, a JSON table of dtype, shape and place, and the plain bytes.

Written here rather than by the library, because it copies all arrays twice in doing so, which a checkpoint of
a large network cannot afford; read by the library, which validates the table in Rust. The format:
https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors

from streamlearn.errors import CheckpointCorrupt

Buffer = bytes | memoryview

DTYPES = {
    **{np.dtype(f"<f{n}").str: f"F{8 * n}" for n in (2, 4, 8)},
    **{np.dtype(f"<i{n}").str: f"I{8 * n}" for n in (1, 2, 4, 8)},
    **{np.dtype(f"<u{n}").str: f"U{8 * n}" for n in (1, 2, 4, 8)},
    np.dtype(np.bool_).str: "BOOL",
    np.dtype("<c8").str: "C64",
}
NAMES = {name: np.dtype(code) for code, name in DTYPES.items()}


def write_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> list[Buffer]:
    """Return the safetensors file of some arrays, as buffers that share the arrays' memory.

    Any shape and memory layout; numbers of up to 64 bits, booleans and complex64. The arrays must not be
    changed before the buffers were written.

    >>> buffers = write_arrays({"weights": np.array([1.0, 2.0], dtype=np.float32)})
    >>> read_arrays(b"".join(buffers))
    {'weights': array([1., 2.], dtype=float32)}
    """
    table: dict[str, Any] = {}
    buffers: list[Buffer] = []
    end = 0
    for name, array in sorted(arrays.items()):
        assert name != "__metadata__", "safetensors keeps this name for itself"
        plain = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        assert plain.dtype.str in DTYPES, f"{name}: safetensors has no dtype for {array.dtype}"
        start, end = end, end + plain.nbytes
        table[name] = {
            "dtype": DTYPES[plain.dtype.str],
            "shape": list(plain.shape),
            "data_offsets": [start, end],
        }
        if plain.nbytes:
            buffers.append(plain.reshape(-1).view(np.uint8).data)
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)  # so that the first array is aligned
    return [struct.pack("<Q", len(header)) + header, *buffers]


def read_arrays(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a safetensors file, writable, in memory of their own, sorted by name.

    Raises
    ------
    CheckpointCorrupt
        The table does not fit the bytes.
    """
    try:
        tensors = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        return {
            name: np.frombuffer(tensor["data"], dtype=NAMES[tensor["dtype"]]).reshape(tensor["shape"])
            for name, tensor in sorted(tensors)
        }
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise CheckpointCorrupt(
            f"a section of arrays is no safetensors file: {error!r}",
            remedy="go on from an older checkpoint, or from a copy",
        ) from error
