"""Depthwise transposed convolutions: TRANSPOSE_CONV has no groups, and one for each channel is no way to run a network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch

from edgekit.export.tflite.emitters.padding import Window
from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.export.tflite.legalize.pooling import slice_of
from edgekit.ir import Node, Value, ops


@dataclass(frozen=True)
class LowerDepthwiseTransposedConvolution(Lowering):
    """Of stride s: s * s depthwise convolutions, one for each place in a block of s x s results, and a pixel shuffle.

    The sub-pixel form (Shi et al. 2016, arXiv:1609.07009). Every convolution reads the same window of the input, so that all
    are padded alike; the elements of the kernel that do not reach a place are zeros there.
    """

    kind = ops.ConvTranspose2d

    def lower(self, build: Build, node: Node, op: ops.ConvTranspose2d) -> Value:
        """The result holds whole blocks; what is beyond the output's size is cut off."""
        x, weight, y = node.input(0), node.input(1), node.output
        block = op.stride[0]
        channels = x.type.shape[1]
        if not weight.is_constant or tuple(weight.tensor_shape[:2]) != (op.groups, 1) or channels != op.groups:
            raise Skip("it is not depthwise")
        if op.stride != (block, block) or block < 2 or op.dilation != (1, 1) or block * block >= op.groups:
            raise Skip("one convolution a group is no more")
        if (weight.quant is None) != (y.quant is None) or (y.quant is not None and not _all_int8(node)):
            raise Skip("no integer form")
        inside, outside = ([size for size in value.type.shape[2:] if isinstance(size, int)] for value in (x, y))
        places = zip(inside, outside, op.padding, weight.tensor_shape[2:], strict=True)
        axes = [_Axis(size, out, block, pad, kernel) for size, out, pad, kernel in places]
        if any(min(axis.padding) < 0 for axis in axes):
            raise Skip("its windows begin inside the input")
        bias = [] if (given := node.optional(2)) is None else [given]
        padding = tuple(axis.padding for axis in axes)
        if not all(axis.window.is_same or axis.window.is_valid for axis in axes):  # once, and not before every convolution
            x, padding = build(ops.Pad(((0, 0), (0, 0), *padding)), x, quant=x.quant), ((0, 0), (0, 0))
        convolution = ops.Conv2d(padding=padding, groups=op.groups, activation=op.activation)
        parts = []
        for first, second in product(range(block), repeat=2):
            taps = axes[0].taps(first) @ weight.tensor.detach() @ axes[1].taps(second).T
            part = build.tensor(taps.contiguous())
            part.quant = weight.quant
            parts.append(build(convolution, x, part, *bias, quant=y.quant))
        return _blocks(build, parts, block, [axis.out for axis in axes])


def _all_int8(node: Node) -> bool:
    values = (node.input(0), node.input(1), node.output)
    quants = [value.quant for value in values]
    one_scale = quants[1] is not None and quants[1].axis is None  # the axis of channels is another in a convolution's weight
    return one_scale and all(quant is not None and quant.dtype == "int8" for quant in quants)


@dataclass(frozen=True)
class _Axis:
    """One dimension: y[b * i + a] = sum over m of x[i + q - m] * w[r + b * m], with q, r = divmod(a + pad, b)."""

    size: int
    out: int
    block: int
    pad: int
    kernel: int

    @property
    def blocks(self) -> int:
        """Blocks that hold all results."""
        return -(-self.out // self.block)

    @property
    def reach(self) -> tuple[int, int]:
        """The first and last input that a block reads, counted from its own number."""
        steps = [divmod(place + self.pad, self.block) for place in range(self.block)]
        lasts = [q - (self.kernel - 1 - r) // self.block for q, r in steps if r < self.kernel]
        return min(lasts), max(q for q, r in steps if r < self.kernel)

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros before and behind the input; less than none where results leave parts of it out."""
        first, last = self.reach
        return -first, self.blocks - 1 + last - (self.size - 1)

    @property
    def window(self) -> Window:
        """What each of the convolutions moves over the input."""
        first, last = self.reach
        return Window(self.size, self.blocks, last - first + 1, 1, -first)

    def taps(self, place: int) -> torch.Tensor:
        """Zeros and ones (taps, kernel): which element of the kernel multiplies each input of the window for this place."""
        first, last = self.reach
        q, r = divmod(place + self.pad, self.block)
        taps = torch.zeros(last - first + 1, self.kernel)
        for m in range((self.kernel - 1 - r) // self.block + 1 if r < self.kernel else 0):
            taps[q - m - first, r + self.block * m] = 1.0
        return taps


def _blocks(build: Build, parts: list[Value], block: int, sizes: list[int]) -> Value:
    """Parts (N, C, H, W), one for each place in a block, as one picture of ``sizes``."""
    quant = build.node.output.quant
    batch, channels, *blocks = parts[0].type.shape
    joined = build(ops.Concat(1), *parts, quant=quant)
    apart = build(ops.Reshape((batch, block * block, channels, *blocks)), joined, quant=quant)
    turned = build(ops.Permute((0, 2, 1, 3, 4)), apart, quant=quant)
    assert isinstance(channels, int)
    flat = build(ops.Reshape((batch, channels * block * block, *blocks)), turned, quant=quant)
    y = build(ops.PixelShuffle(block), flat, quant=quant)
    for axis, size in enumerate(sizes, start=2):
        if y.type.shape[axis] != size:
            y = slice_of(build, y, axis, (0, size))
    return y
