"""Any layer as a matrix product: its weight as (groups, outputs, inputs), its input as rows of what single outputs read.

A transposed convolution is the convolution with the flipped kernel of its input with zeros between the elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F

from edgekit.compress.rewriting.patches import patches, positions
from edgekit.ir import Node, ops
from edgekit.ir.ops.base import Op

TRANSPOSED = (ops.ConvTranspose1d, ops.ConvTranspose2d)


@dataclass(frozen=True)
class MatrixLayer:
    """A layer's weight and attributes, looked at as matrices of ``groups`` independent products.

    Attributes:
        op: of the node.
        shape: of its weight.
    """

    op: Op
    shape: tuple[int, ...]

    @staticmethod
    def of(node: Node) -> MatrixLayer:
        """The layer of a convolution, a transposed one or a linear node."""
        return MatrixLayer(node.op, tuple(node.input(1).tensor_shape))

    @property
    def groups(self) -> int:
        """Independent products."""
        return int(getattr(self.op, "groups", 1))

    @property
    def inputs(self) -> int:
        """What one output of one group reads."""
        if isinstance(self.op, TRANSPOSED):
            return self.shape[0] // self.groups * prod(self.shape[2:])
        return prod(self.shape[1:])

    def matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight as (groups, outputs / groups, inputs)."""
        if not isinstance(self.op, TRANSPOSED):
            return weight.reshape(self.groups, weight.shape[0] // self.groups, -1)
        flipped = weight.flip(list(range(2, weight.dim())))
        grouped = flipped.reshape(self.groups, weight.shape[0] // self.groups, *weight.shape[1:])
        return grouped.transpose(1, 2).reshape(self.groups, weight.shape[1], -1)

    def weight(self, matrix: torch.Tensor) -> torch.Tensor:
        """The inverse of ``matrix``."""
        if not isinstance(self.op, TRANSPOSED):
            return matrix.reshape(self.shape)
        grouped = matrix.reshape(self.groups, self.shape[1], self.shape[0] // self.groups, *self.shape[2:])
        flipped = grouped.transpose(1, 2).reshape(self.shape)
        return flipped.flip(list(range(2, len(self.shape))))

    def count(self, x: torch.Tensor) -> int:
        """How many positions (of all channels) the layer computes of this input, over all samples."""
        stuffed, op = self._as_convolution(x)
        return positions(stuffed, op, self.shape[2:])

    def rows(self, x: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:
        """What the picked positions read: (picks, groups, inputs), float32."""
        stuffed, op = self._as_convolution(x)
        found = patches(stuffed, op, self.shape[2:], picks).float()
        return found.reshape(len(picks), self.groups, -1)

    def outputs(self, y: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:
        """The picked positions of the layer's output: (picks, groups, outputs / groups)."""
        channels = y if isinstance(self.op, ops.Linear) else y.movedim(1, -1)
        return channels.reshape(-1, channels.shape[-1])[picks].reshape(len(picks), self.groups, -1)

    def _as_convolution(self, x: torch.Tensor) -> tuple[torch.Tensor, Op]:
        """The input and the op by which the layer is a plain convolution or a linear layer."""
        op = self.op
        if not isinstance(op, TRANSPOSED):
            return x, op
        sizes = [(size - 1) * stride + 1 for size, stride in zip(x.shape[2:], op.stride, strict=True)]
        stuffed = x.new_zeros(*x.shape[:2], *sizes)
        steps = [slice(None, None, stride) for stride in (1, 1, *op.stride)]
        stuffed[tuple(steps)] = x
        reach = [d * (k - 1) - p for d, k, p in zip(op.dilation, self.shape[2:], op.padding, strict=True)]
        cut = [min(r, 0) for r in reach]  # a padding wider than the kernel cuts the input instead
        stuffed = F.pad(stuffed, [edge for c in reversed(cut) for edge in (c, c)])
        pads = tuple((max(r, 0), max(r, 0) + extra) for r, extra in zip(reach, op.output_padding, strict=True))
        kind = ops.Conv1d if isinstance(op, ops.ConvTranspose1d) else ops.Conv2d
        return stuffed, kind((1,) * len(sizes), pads, op.dilation, op.groups)
