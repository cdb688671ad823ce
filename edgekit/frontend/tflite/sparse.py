"""Sparse constants, spread out.

A sparse tensor of TFLite stores the dimensions of its traversal one inside the other, each either whole (dense) or as the
positions that hold something (sparse, in CSR form). Blocks are extra dimensions behind the original ones
(TensorFlow's schema.fbs, ``SparsityParameters``).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.formats.tflite.model import NUMPY_OF, Options, Tensor

_SPARSE = 1

#: Elements that a sparse tensor may have, spread out.
_LARGEST = 1 << 24


def dense(tensor: Tensor) -> NDArray[np.generic]:
    """The elements of a sparse constant in its shape, zeros where it stores none.

    Raises:
        InputError: its index arrays contradict each other or its data.
    """
    try:
        return _dense(tensor)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the sparse tensor '{tensor.name}' of the file is damaged: {error}",
            where=tensor.name,
            hint="convert or download the file again",
        ) from error


def _dense(tensor: Tensor) -> NDArray[np.generic]:
    assert tensor.sparsity is not None and tensor.data is not None
    fields: dict[str, Any] = dict(tensor.sparsity.fields)
    order = [int(axis) for axis in fields["traversal_order"]]
    block_map = [int(axis) for axis in fields.get("block_map", ())]
    levels: tuple[Options, ...] = fields["dim_metadata"]
    rank = len(tensor.shape)
    if sorted(order) != [*range(rank + len(block_map))] or len(levels) != len(order):
        raise ValueError("its traversal is not one of its dimensions")
    blocks = [int(levels[order.index(rank + i)].fields["dense_size"]) for i in range(len(block_map))]  # type: ignore[arg-type]
    inner = list(tensor.shape)
    for axis, block in zip(block_map, blocks, strict=True):
        if block < 1 or inner[axis] % block:
            raise ValueError(f"blocks of {block} along {inner[axis]} elements")
        inner[axis] //= block
    sizes = [*inner, *blocks]
    values = np.frombuffer(tensor.data, NUMPY_OF[tensor.type])
    if prod(tensor.shape) > _LARGEST:
        raise ValueError("more elements than any runtime holds")
    places = _places(levels, [sizes[axis] for axis in order], len(values))
    out = np.zeros(sizes, values.dtype)
    by_axis = [places[order.index(axis)] for axis in range(len(sizes))]
    out[tuple(by_axis)] = values
    axes: list[int] = []
    for axis in range(rank):
        axes += [axis, *(rank + i for i, mapped in enumerate(block_map) if mapped == axis)]
    return out.transpose(axes).reshape(tensor.shape)


def _places(levels: tuple[Options, ...], sizes: list[int], count: int) -> list[NDArray[np.int64]]:
    """The index along each level of every stored element."""
    found: list[NDArray[np.int64]] = []
    parents = 1
    for level, size in zip(levels, sizes, strict=True):
        fields: dict[str, Any] = dict(level.fields)
        if fields.get("format", 0) == _SPARSE:
            segments = np.asarray(fields["array_segments"].fields.get("values", ()), np.int64)
            indices = np.asarray(fields["array_indices"].fields.get("values", ()), np.int64)
            if (
                len(segments) != parents + 1
                or segments[0] != 0
                or segments[-1] != len(indices)
                or (np.diff(segments) < 0).any()
            ):
                raise ValueError("its segments do not cover its indices")
            repeats, own = np.diff(segments), indices
        else:
            if parents * size > _LARGEST:
                raise ValueError("more elements than any runtime holds")
            repeats, own = np.full(parents, size), np.tile(np.arange(size), parents)
        if len(own) and (own.min() < 0 or own.max() >= size):
            raise ValueError("an index is outside its dimension")
        found = [np.repeat(level_places, repeats) for level_places in found] + [own]
        parents = len(own)
    if parents != count:
        raise ValueError(f"{count} elements for {parents} places")
    return found
