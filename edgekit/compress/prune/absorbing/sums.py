"""What removed channels add to each output of a layer, when each of them is a constant."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.removal import Gone
from edgekit.ir import Graph, Node, Value, ops

CONVOLUTIONS = (ops.Conv1d, ops.Conv2d)
TRANSPOSED = (ops.ConvTranspose1d, ops.ConvTranspose2d)

#: Phases of a transposed convolution whose sums differ by more than this, relative to the largest, are not one constant.
_SAME = 1e-6


@dataclass(frozen=True)
class Reader:
    """A layer that sums over channels of which some are removed.

    Attributes:
        node: of the graph before. x: what it reads, along ``axis``. weight: what it multiplies that by.
        made: axis of the weight along which it makes its own channels.
        groups: of the outputs: as many parts read a part of the channels each.
    """

    node: Node
    x: Value
    axis: int
    weight: Value
    made: int
    groups: int = 1

    def lost(self, analysis: Analysis, gone: Gone) -> torch.Tensor:
        """Which of the channels are removed, as numbers 0 and 1."""
        return torch.from_numpy(gone[analysis.coupling.axis(self.x, self.axis)]).double()

    def kept_outputs(self, analysis: Analysis, gone: Gone) -> torch.Tensor:
        """Which of its own channels stay."""
        stays = torch.from_numpy(~gone[analysis.coupling.axis(self.weight, self.made)])
        return stays.repeat(self.groups) if isinstance(self.node.op, TRANSPOSED) else stays

    def reading(self, lost: torch.Tensor) -> torch.Tensor:
        """Which outputs read one of these channels: all of its group."""
        per_group = self.weight.tensor_shape[self.made] // (1 if isinstance(self.node.op, TRANSPOSED) else self.groups)
        return lost.reshape(self.groups, -1).any(1).repeat_interleave(per_group)


def reader_of(node: Node, fixed: set[int]) -> Reader | None:
    """The node as a reader, where it multiplies what it reads by one matrix or kernel of the ``fixed`` values."""
    op = node.op
    if isinstance(op, ops.Matmul):
        a, b = node.input(0), node.input(1)
        if id(b) in fixed and id(a) not in fixed and b.type.rank == 2 and a.type.rank > 1:
            return Reader(node, a, a.type.rank - 1, b, 0 if op.transpose_b else 1)
        if id(a) in fixed and id(b) not in fixed and a.type.rank == 2 and b.type.rank > 1:
            return Reader(node, b, b.type.rank - (1 if op.transpose_b else 2), a, 0)
        return None
    if not isinstance(op, ops.Linear | ops.Conv1d | ops.Conv2d | ops.ConvTranspose1d | ops.ConvTranspose2d):
        return None
    x, weight = node.input(0), node.input(1)
    if id(weight) not in fixed:
        return None
    if isinstance(op, ops.Linear):
        return Reader(node, x, x.type.rank - 1, weight, 0)
    if not isinstance(op, TRANSPOSED):
        return Reader(node, x, 1, weight, 0, op.groups)
    if op.groups > 1 and op.groups == weight.tensor_shape[0]:
        return None  # depthwise: what is made of a channel goes with it
    return Reader(node, x, 1, weight, 1, op.groups)


def fixed_values(graph: Graph) -> set[int]:
    """Values, by id, that are constants or made of constants alone (a normalised weight, say)."""
    fixed = {id(value) for value in graph.constants()}
    for node in graph.nodes:
        if node.inputs and all(value is None or id(value) in fixed for value in node.inputs):
            fixed.update(id(value) for value in node.outputs)
    return fixed


def contribution(reader: Reader, weight: torch.Tensor, channels: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """What constant channels add to each output, inside, where every tap of a kernel meets data.

    Args:
        reader: the layer.
        weight: its weight, in double precision.
        channels: the constant of each channel that is read, 0 where it stays.

    Returns:
        One number for each output; and whether it is the same at all positions. A transposed convolution with a stride has
        another sum at each phase of it: then the number is their mean.
    """
    op = reader.node.op
    if isinstance(op, TRANSPOSED):
        return _transposed(op, weight, channels)
    if isinstance(op, CONVOLUTIONS):
        taps = weight.flatten(2).sum(2).reshape(op.groups, -1, weight.shape[1])
        return (taps * channels.reshape(op.groups, 1, -1)).sum(2).flatten(), True
    return (weight.T if reader.made == 1 else weight) @ channels, True


def _transposed(
    op: ops.ConvTranspose1d | ops.ConvTranspose2d, weight: torch.Tensor, channels: torch.Tensor
) -> tuple[torch.Tensor, bool]:
    """Weight (C, O / groups, *kernel): output p gets tap k where p + padding - k * dilation is a multiple of the stride."""
    per_phase = weight
    for axis, (stride, dilation) in enumerate(zip(op.stride, op.dilation, strict=True), 2):
        phase = (torch.arange(weight.shape[axis]) * dilation) % stride
        sums = per_phase.new_zeros(*per_phase.shape[:axis], stride, *per_phase.shape[axis + 1 :])
        per_phase = sums.index_add(axis, phase, per_phase)
    phases = (per_phase.flatten(2) * channels[:, None, None]).reshape(op.groups, -1, *per_phase.flatten(2).shape[1:])
    outputs = phases.sum(1).flatten(0, 1)  # (O, phases)
    mean = outputs.mean(1)
    spread = float((outputs - mean[:, None]).abs().max())
    return mean, spread <= _SAME * max(float(outputs.abs().max()), 1e-30)
