"""Operators that move elements. Between pairs of QuantizeLinear and DequantizeLinear, runtimes move integers (but for Pad)."""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.export.onnx.dims import reshape, shape_of
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Tensor
from edgekit.ir import ops
from edgekit.ir.graph import Node
from edgekit.ir.types import Batch

#: "To the end" and "to the beginning" in a Slice, whatever the size of the dimension.
_END, _BEGINNING = 2**63 - 1, -(2**63)


@emits(ops.Reshape)
def reshape_(to: Emission, node: Node, op: ops.Reshape) -> Tensor:
    """Reshape."""
    return reshape(to, to.read(node.input(0)), node.input(0).shape, op.shape)


@emits(ops.Permute)
def permute(to: Emission, node: Node, op: ops.Permute) -> Tensor:
    """Transpose."""
    return to.add("Transpose", to.read(node.input(0)), perm=op.dims)


@emits(ops.Concat)
def concat(to: Emission, node: Node, op: ops.Concat) -> Tensor:
    """Concat of one element type."""
    values = [value for value in node.inputs if value is not None]
    return to.add("Concat", *(to.read(value, node.output.type.dtype) for value in values), axis=op.axis)


@emits(ops.Split)
def split(to: Emission, node: Node, op: ops.Split) -> tuple[Tensor, ...]:
    """Split into given sizes."""
    return to.add_many("Split", [to.read(node.input(0)), to.ints(op.sizes)], len(op.sizes), axis=op.axis)


@emits(ops.Slice)
def slice_(to: Emission, node: Node, op: ops.Slice) -> Tensor:
    """Slice along the axes that it shortens."""
    x = node.input(0)
    axes = [
        axis
        for axis, (start, stop, step) in enumerate(zip(op.starts, op.stops, op.steps, strict=True))
        if (start, stop, step) != (0, x.shape[axis], 1)
    ]
    if not axes:
        return to.read(x)
    stops = [_END if op.stops[axis] == x.shape[axis] else op.stops[axis] for axis in axes]
    starts, steps = ([given[axis] for axis in axes] for given in (op.starts, op.steps))
    return to.add("Slice", to.read(x), to.ints(starts), shape_of(to, stops), to.ints(axes), to.ints(steps))


@emits(ops.Expand)
def expand(to: Emission, node: Node, op: ops.Expand) -> Tensor:
    """Expand; a dimension that has its size already is given as 1, so that only new batch dimensions are computed."""
    x = node.input(0)
    old = (*[1] * (len(op.shape) - x.type.rank), *x.shape)
    return to.add(
        "Expand", to.read(x), shape_of(to, [1 if new == size else new for size, new in zip(old, op.shape, strict=True)])
    )


@emits(ops.Tile)
def tile(to: Emission, node: Node, op: ops.Tile) -> Tensor:
    """Tile; repeats for dimensions that the input lacks make them first."""
    x = node.input(0)
    missing = len(op.repeats) - x.type.rank
    tensor = to.read(x) if missing <= 0 else reshape(to, to.read(x), x.shape, (*[1] * missing, *x.shape))
    return to.add("Tile", tensor, to.ints(op.repeats))


#: ONNX Runtime 1.31 makes zeros before a pool padding of the pool, which never wins and may not be counted, or more of it than
#: a pool takes. It leaves the smallest normal number where it is.
_ALMOST_ZERO = 2.0**-126
_POOLS = (ops.MaxPool1d, ops.MaxPool2d, ops.AvgPool1d, ops.AvgPool2d, ops.AdaptiveAvgPool2d, ops.AdaptiveMaxPool2d)


@emits(ops.Pad)
def pad(to: Emission, node: Node, op: ops.Pad) -> Tensor:
    """Pad. ONNX Runtime pads real numbers, also between integers."""
    x = node.input(0)
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    pads = to.ints([low for low, _ in op.pads] + [high for _, high in op.pads])
    if op.mode != "constant":
        if any(size < 0 for pair in op.pads for size in pair):
            raise Unsupported(f"padding by {op.pads} with mode '{op.mode}'", hint="crop with a slice, then pad")
        return to.add("Pad", to.read(x), pads, mode=modes[op.mode])
    value = op.value
    if value == 0 and x.type.is_float and any(isinstance(user.op, _POOLS) for user in node.output.users):
        value = _ALMOST_ZERO
    return to.add("Pad", to.read(x), pads, to.scalar(value, x.type.dtype))


@emits(ops.Flip)
def flip(to: Emission, node: Node, op: ops.Flip) -> Tensor:
    """Slice with negative steps."""
    count = len(op.axes)
    starts, stops, steps = to.ints([-1] * count), to.ints([_BEGINNING] * count), to.ints([-1] * count)
    return to.add("Slice", to.read(node.input(0)), starts, stops, to.ints(op.axes), steps)


@emits(ops.Roll)
def roll(to: Emission, node: Node, op: ops.Roll) -> Tensor:
    """Along each axis, the end before the beginning."""
    x, tensor = node.input(0), to.read(node.input(0))
    for shift, axis in zip(op.shifts, op.axes, strict=True):
        size = x.shape[axis]
        if isinstance(size, Batch):
            raise Unsupported("'roll' along the batch dimension", hint="roll the samples outside of the model")
        if shift % size == 0:
            continue
        cut = [size - shift % size]
        end = to.add("Slice", tensor, to.ints(cut), to.ints([_END]), to.ints([axis]))
        beginning = to.add("Slice", tensor, to.ints([0]), to.ints(cut), to.ints([axis]))
        tensor = to.add("Concat", end, beginning, axis=axis)
    return tensor


@emits(ops.Gather)
def gather(to: Emission, node: Node, op: ops.Gather) -> Tensor:
    """Gather."""
    index = node.input(1)
    dtype = index.type.dtype if index.type.dtype in (torch.int32, torch.int64) else torch.int64
    return to.add("Gather", to.read(node.input(0)), to.read(index, dtype), axis=op.axis)


@emits(ops.PixelShuffle)
def pixel_shuffle(to: Emission, node: Node, op: ops.PixelShuffle) -> Tensor:
    """DepthToSpace in the order column, row, depth, which is torch's."""
    return to.add("DepthToSpace", to.read(node.input(0)), blocksize=op.factor, mode="CRD")


@emits(ops.PixelUnshuffle)
def pixel_unshuffle(to: Emission, node: Node, op: ops.PixelUnshuffle) -> Tensor:
    """Reshape, Transpose, Reshape: SpaceToDepth has only the order depth, column, row."""
    x, r = node.input(0), op.factor
    batch, channels, height, width = x.shape
    blocks = reshape(to, to.read(x), x.shape, (batch, channels, height // r, r, width // r, r))
    moved = to.add("Transpose", blocks, perm=(0, 1, 3, 5, 2, 4))
    return reshape(to, moved, (batch, channels, r, r, height // r, width // r), node.output.shape)
