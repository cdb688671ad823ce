"""Sizes of tensors as data: ``Shape -> Gather -> Concat -> Reshape`` is resolved while loading, the batch size as a symbol.

A computation on sizes is done with numpy on object arrays, whose elements are numbers or multiples of N.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgekit.ir.types import Batch

#: An array of numbers and multiples of the batch size.
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Sizes:
    """Data that holds the batch size: elements are numbers or ``Batch``; ``dtype`` is what ONNX takes them for."""

    array: Array
    dtype: torch.dtype = torch.int64


def objects(data: Any, shape: tuple[int, ...] | None = None) -> Array:
    """An object array of these elements, which numpy leaves as they are."""
    flat = list(data)
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array if shape is None else array.reshape(shape)


def holds_batch(array: Array) -> bool:
    """An element depends on the batch size."""
    return any(isinstance(item, Batch) for item in array.reshape(-1))


def elementwise(function: Callable[..., Any], *arrays: Array) -> Array:
    """A function of elements, with broadcasting; the result may be of rank 0."""
    wide = np.broadcast_arrays(*arrays)
    flat = [function(*row) for row in zip(*(array.reshape(-1) for array in wide), strict=True)]
    return objects(flat, wide[0].shape)
