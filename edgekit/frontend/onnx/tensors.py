"""Stored tensors, checked before anything is allocated: sizes that a file claims must be backed by its bytes."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.errors import InputError, Unsupported
from edgekit.frontend.onnx.element_types import TORCH, type_name
from edgekit.frontend.onnx.external import external_bytes

_AGAIN = "copy or download the file again"
_EXTERNAL = 1  # TensorProto.DataLocation

#: Bytes of one element as it lies in raw_data, and the numpy type that reads it.
_RAW: dict[int, str] = {
    1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8",
    16: "<i2",
}  # fmt: skip
#: The field that holds elements of a type one by one, and how its numbers become elements.
_FIELDS: dict[int, tuple[str, str]] = {
    1: ("float_data", "f4"), 2: ("int32_data", "u1"), 3: ("int32_data", "i1"), 4: ("int32_data", "u2"),
    5: ("int32_data", "i2"), 6: ("int32_data", "i4"), 7: ("int64_data", "i8"), 9: ("int32_data", "?"),
    10: ("int32_data", "f2"), 11: ("double_data", "f8"), 12: ("uint64_data", "u4"), 13: ("uint64_data", "u8"),
    16: ("int32_data", "i2"),
}  # fmt: skip
#: Types that the graph lacks, held in one that has all their values.
_WIDER = {4: torch.int32, 12: torch.int64}
_FOUR_BITS = {21: False, 22: True}  # uint4, int4: two elements in a byte, the first in the lower half


def read_tensor(tensor: Any, folder: Path | None, where: str) -> torch.Tensor:
    """The elements of a ``TensorProto``.

    Args:
        tensor: the stored tensor.
        folder: where files of external data lie; None for a model that comes without a file.
        where: the file, for errors.

    Types that the graph has not (uint16, uint32, uint4, int4) come in a wider one. Returns a tensor of its own.

    Raises:
        InputError: its sizes are impossible or do not fit its data, or its external data is not where it may be.
        Unsupported: an element type that the graph has not.
    """
    place = f"{where}: tensor '{tensor.name}'"
    kind, shape = int(tensor.data_type), tuple(int(size) for size in tensor.dims)
    if kind not in _RAW and kind not in _FOUR_BITS:
        raise Unsupported(f"a tensor of {type_name(kind)}", where=place, hint="store it as float32, or as an integer type")
    if any(size < 0 for size in shape):
        raise InputError(f"a tensor has the sizes {list(shape)}", where=place, hint=_AGAIN)
    if tensor.HasField("segment"):
        raise Unsupported("a tensor that is stored in segments", where=place, hint="save the model again with onnx.save")
    count = prod(shape)
    if kind in _FOUR_BITS:
        return _four_bits(tensor, kind, count, folder, place).reshape(shape)
    array = _elements(tensor, kind, count, folder, place)
    if kind == 13:  # uint64: sizes and indices, never near the end of int64
        if array.size and int(array.max()) >= 2**63:
            raise Unsupported("numbers beyond the range of int64", where=place, hint="store them as int64")
        array = array.astype("<i8")
    data = torch.from_numpy(np.array(array.astype(array.dtype.newbyteorder("=")), copy=True)).reshape(shape)
    if kind == 16:
        return data.view(torch.bfloat16)
    return data.to(_WIDER.get(kind, TORCH.get(kind, data.dtype)))


def _elements(tensor: Any, kind: int, count: int, folder: Path | None, place: str) -> Any:
    dtype = np.dtype(_RAW[kind])
    if tensor.data_location == _EXTERNAL:
        return np.frombuffer(external_bytes(tensor, count * dtype.itemsize, folder, place), dtype)
    if tensor.HasField("raw_data"):
        _need_size(len(tensor.raw_data), count * dtype.itemsize, "bytes", place)
        return np.frombuffer(tensor.raw_data, dtype)
    field, stored = _FIELDS[kind]
    numbers = getattr(tensor, field)
    _need_size(len(numbers), count, "elements", place)
    if stored == "f2":
        return np.asarray(numbers, np.int64).astype(np.uint16).view(np.float16)
    return np.asarray(numbers).astype(stored)


def _four_bits(tensor: Any, kind: int, count: int, folder: Path | None, place: str) -> torch.Tensor:
    size = (count + 1) // 2
    if tensor.data_location == _EXTERNAL:
        packed = np.frombuffer(external_bytes(tensor, size, folder, place), np.uint8)
    elif tensor.HasField("raw_data"):
        _need_size(len(tensor.raw_data), size, "bytes", place)
        packed = np.frombuffer(tensor.raw_data, np.uint8)
    else:
        _need_size(len(tensor.int32_data), size, "elements", place)
        packed = np.asarray(tensor.int32_data, np.int64).astype(np.uint8)
    halves = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count].astype(np.int16)
    if _FOUR_BITS[kind]:
        return torch.from_numpy(np.where(halves > 7, halves - 16, halves).astype(np.int8))
    return torch.from_numpy(halves.astype(np.uint8))


def _need_size(found: int, wanted: int, what: str, place: str) -> None:
    if found != wanted:
        raise InputError(f"a tensor should have {wanted} {what} and has {found}", where=place, hint=_AGAIN)
