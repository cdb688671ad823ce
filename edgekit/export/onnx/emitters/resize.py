"""Resize, with torch's positions of samples.

The operator Resize is written where its formula, in float32, reads the elements that torch reads. Elsewhere (ratios of sizes
whose rounding differs) the same function is written with constants: an index for nearest, a matrix per axis for linear.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node

Positions = NDArray[np.int64]


@emits(ops.Resize)
def resize(to: Emission, node: Node, op: ops.Resize) -> Tensor:
    """Nearest or linear interpolation of the spatial dimensions."""
    x, sizes = to.read(node.input(0)), node.input(0).tensor_shape[2:]
    if op.mode == "nearest":
        return _nearest(to, x, op, sizes)
    if not _is_expressible(op, sizes) or _moves_kept_sizes(op, sizes):
        return _as_matrices(to, x, op, sizes)
    mode = "align_corners" if op.align_corners else "half_pixel"
    return to.add(
        "Resize", x, None, *_target(to, op, sizes), mode="linear", coordinate_transformation_mode=mode, **_axes(op, sizes)
    )


def _factors(op: ops.Resize, sizes: Sequence[int]) -> list[np.float32]:
    """By how much each dimension grows, as the runtime holds it.

    A ratio of sizes is the next float32 above where the nearest one loses an element (13 / 7 of 7 is 12.9999): factors are
    written rather than sizes, because ONNX Runtime can't load an integer Resize to sizes of the spatial axes alone behind an
    integer convolution (its layout optimiser reorders the sizes as if there were four).
    """
    if op.scales is not None:
        return [np.float32(scale) for scale in op.scales]
    ratios = [np.float32(new) / np.float32(old) for old, new in zip(sizes, op.size, strict=True)]
    above = [np.nextafter(ratio, np.float32(np.inf)) for ratio in ratios]
    rows = zip(ratios, above, sizes, op.size, strict=True)
    return [ratio if _gives(ratio, old, new) else more for ratio, more, old, new in rows]


def _gives(factor: np.float32, old: int, new: int) -> bool:
    """Readers of the file that compute the new size from the factor, in float32 or in double precision, get the graph's."""
    return int(factor * np.float32(old)) == new == int(float(factor) * old)


def _gives_size(op: ops.Resize, sizes: Sequence[int]) -> bool:
    """They get it of every dimension."""
    return all(_gives(*row) for row in zip(_factors(op, sizes), sizes, op.size, strict=True))


def _is_expressible(op: ops.Resize, sizes: Sequence[int]) -> bool:
    """Sizes can be given, unless torch was told factors and takes positions from these."""
    return op.scales is None or _gives_size(op, sizes)


def _moves_kept_sizes(op: ops.Resize, sizes: Sequence[int]) -> bool:
    """A factor moves the samples of a dimension that keeps its size; ONNX Runtime leaves such a dimension alone."""
    factors = op.scales or (1.0,) * len(sizes)
    return any(old == new and factor != 1.0 for factor, old, new in zip(factors, sizes, op.size, strict=True))


def _target(to: Emission, op: ops.Resize, sizes: Sequence[int]) -> tuple[Tensor | None, ...]:
    """The last inputs of Resize: factors where they say all, else the new sizes of the spatial axes."""
    if _gives_size(op, sizes):
        return (to.shared(torch.tensor([1.0, 1.0, *map(float, _factors(op, sizes))])),)
    return None, to.ints(op.size)


def _axes(op: ops.Resize, sizes: Sequence[int]) -> dict[str, list[int]]:
    """Sizes are given for the spatial axes alone, which keeps the batch out of them."""
    return {} if _gives_size(op, sizes) else {"axes": list(range(2, 2 + len(sizes)))}


def _nearest(to: Emission, x: Tensor, op: ops.Resize, sizes: Sequence[int]) -> Tensor:
    wanted = [_torch_positions(op, axis, size) for axis, size in enumerate(sizes)]
    given = [_resize_positions(len(index), factor) for index, factor in zip(wanted, _factors(op, sizes), strict=True)]
    if _is_expressible(op, sizes) and all(np.array_equal(a, b) for a, b in zip(wanted, given, strict=True)):
        return to.add(
            "Resize",
            x,
            None,
            *_target(to, op, sizes),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            **_axes(op, sizes),
        )
    for axis, (index, size) in enumerate(zip(wanted, sizes, strict=True)):
        if not np.array_equal(index, np.arange(size)):
            x = to.add("Gather", x, to.shared(torch.from_numpy(index)), axis=axis + 2)
    return x


def _torch_positions(op: ops.Resize, axis: int, size: int) -> Positions:
    """Which element torch reads for each element of the result; a dimension of an image that keeps its size it leaves alone."""
    if len(op.size) == 2 and op.size[axis] == size:
        return np.arange(size, dtype=np.int64)
    scales = None if op.scales is None else op.scales[axis : axis + 1]
    one = op.with_(size=op.size[axis : axis + 1], scales=scales)
    index = one.run(torch.arange(size, dtype=torch.float64)[None, None])
    assert isinstance(index, torch.Tensor)
    return index[0, 0].to(torch.int64).numpy()


def _resize_positions(count: int, factor: np.float32) -> Positions:
    """Which element the operator reads: floor(i / factor), in float32."""
    positions: Positions = np.floor(np.arange(count, dtype=np.float32) / factor).astype(np.int64)
    return positions


def _as_matrices(to: Emission, x: Tensor, op: ops.Resize, sizes: Sequence[int]) -> Tensor:
    """A x B^T, with a matrix of interpolation weights for each axis."""
    weights = [_weights(op, axis, size) for axis, size in enumerate(sizes)]
    if len(weights) == 2:
        x = to.add("MatMul", to.shared(weights[0].T.contiguous()), x)
    return to.add("MatMul", x, to.shared(weights[-1]))


def _weights(op: ops.Resize, axis: int, size: int) -> torch.Tensor:
    """(size, new size): what torch makes of each unit vector."""
    scales = None if op.scales is None else op.scales[axis : axis + 1]
    result = op.with_(size=op.size[axis : axis + 1], scales=scales).run(torch.eye(size)[None])
    assert isinstance(result, torch.Tensor)
    return result[0]
