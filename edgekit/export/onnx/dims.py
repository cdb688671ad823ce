"""Shapes as operators of the file want them: numbers where they are known, else computed from the batch size."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.writer import Tensor
from edgekit.ir.types import Batch, Dim


def reshape(to: Emission, tensor: Tensor, old: tuple[Dim, ...], shape: Sequence[Dim]) -> Tensor:
    """``tensor`` of the shape ``old`` under another.

    A dimension that depends on the batch size is taken over from the same place (0, which keeps its name for readers of the
    file), or is left to the runtime (-1), or computed if there are several of these.
    """
    if 0 in shape:  # here a zero is a size; -1 beside it would be undetermined
        return to.add("Reshape", tensor, shape_of(to, shape), allowzero=1)
    numbers = [dim if isinstance(dim, int) else 0 if old[axis : axis + 1] == (dim,) else -1 for axis, dim in enumerate(shape)]
    return to.add("Reshape", tensor, shape_of(to, shape) if numbers.count(-1) > 1 else to.ints(numbers))


def shape_of(to: Emission, shape: Sequence[Dim]) -> Tensor:
    """A shape as a vector of int64, computed at run time if it depends on the batch size."""
    if not any(isinstance(dim, Batch) for dim in shape):
        return to.ints([dim for dim in shape if isinstance(dim, int)])
    parts: list[Tensor] = []
    known: list[int] = []
    for dim in shape:
        if isinstance(dim, int):
            known.append(dim)
            continue
        if known:
            parts.append(to.ints(known))
            known = []
        parts.append(multiple_of_batch(to, dim.multiple))
    if known:
        parts.append(to.ints(known))
    return parts[0] if len(parts) == 1 else to.add("Concat", *parts, axis=0)


def multiple_of_batch(to: Emission, multiple: int) -> Tensor:
    """``multiple * N`` as a vector of one int64, read from the shape of the first input that has a batch."""
    for value, tensor in zip(to.graph.inputs, to.inputs, strict=True):
        for axis, dim in enumerate(value.type.shape):
            if isinstance(dim, Batch):
                size = to.add("Shape", tensor, start=axis, end=axis + 1)
                if multiple % dim.multiple == 0:
                    factor = multiple // dim.multiple
                    return size if factor == 1 else to.add("Mul", size, to.ints([factor]))
                return to.add("Div", to.add("Mul", size, to.ints([multiple])), to.ints([dim.multiple]))
    raise ValueError("a dimension depends on the batch size, but no input has one")
