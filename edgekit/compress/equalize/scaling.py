"""Equal ranges for the channels between layers, by scales that cancel out.

For a pair of layers with weights W1, b1 and W2, and channel i between them with the ranges r1_i of W1's row and r2_i of W2's
column, W1_i / s_i, b1_i / s_i and W2_i * s_i compute the same, and

    s_i = sqrt(r1_i r2_i) / r2_i

makes both ranges equal (Nagel et al. 2019, arXiv:1906.04721, eq. 11). Where layers form a chain, all pairs are gone through
again and again until nothing moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.compress.equalize.pairs import TRANSPOSED, Pair
from edgekit.ir import Node

#: A round in which no channel's scale moves by more than this share is the last.
_STILL = 1e-4
_ROUNDS = 1000

#: A channel whose bias is so many times its largest weight is almost constant: its weights say nothing of its range.
_ALMOST_CONSTANT = 1000.0


class Weights:
    """The layers' weights and biases in double precision while scale moves between them."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._nodes = {id(node): node for pair in pairs for node in (pair.first, pair.second)}
        self.weight = {key: node.input(1).tensor.detach().double() for key, node in self._nodes.items()}
        self.bias: dict[int, torch.Tensor] = {}
        for key, node in self._nodes.items():
            value = node.optional(2)
            if value is not None and value.is_constant:
                self.bias[key] = value.tensor.detach().double()

    def made(self, node: Node) -> torch.Tensor:
        """Largest magnitude of the weights that make each output channel."""
        weight = self.weight[id(node)].abs()
        if isinstance(node.op, TRANSPOSED):
            groups = node.op.groups
            return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1).amax((1, 3)).reshape(-1)
        return weight.flatten(1).amax(1)

    def read(self, node: Node, repeat: int) -> torch.Tensor:
        """Largest magnitude of the weights that read each channel of the layer before."""
        return self._by_input(node).abs().amax(1).reshape(-1, repeat).amax(1)

    def scale_made(self, node: Node, scale: torch.Tensor) -> None:
        """Divides what makes each output channel."""
        weight = self.weight[id(node)]
        if isinstance(node.op, TRANSPOSED):
            by_group = scale.reshape(node.op.groups, -1).repeat_interleave(weight.shape[0] // node.op.groups, 0)
            self.weight[id(node)] = weight / by_group.reshape(*by_group.shape, *[1] * (weight.dim() - 2))
        else:
            self.weight[id(node)] = weight / scale.reshape(-1, *[1] * (weight.dim() - 1))
        if id(node) in self.bias:
            self.bias[id(node)] = self.bias[id(node)] / scale

    def scale_read(self, node: Node, scale: torch.Tensor, repeat: int) -> None:
        """Multiplies what reads each channel of the layer before."""
        weight, by_input = self.weight[id(node)], scale.repeat_interleave(repeat)
        if isinstance(node.op, TRANSPOSED):
            self.weight[id(node)] = weight * by_input.reshape(-1, *[1] * (weight.dim() - 1))
            return
        groups = int(getattr(node.op, "groups", 1))
        rows = by_input.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, 0)
        self.weight[id(node)] = weight * rows.reshape(*rows.shape, *[1] * (weight.dim() - 2))

    def _by_input(self, node: Node) -> torch.Tensor:
        """The weight as (input channels, what each meets)."""
        weight = self.weight[id(node)]
        if isinstance(node.op, TRANSPOSED):
            return weight.flatten(1)
        groups = int(getattr(node.op, "groups", 1))
        grouped = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
        return grouped.transpose(1, 2).reshape(groups * weight.shape[1], -1)


def equalized(pairs: Sequence[Pair]) -> tuple[Weights, list[torch.Tensor], int]:
    """Weights with equal ranges, each pair's scales (C,), and how many rounds it took. Nothing in the graph is changed."""
    weights = Weights(pairs)
    total = [torch.ones(pair.channels, dtype=torch.float64) for pair in pairs]
    rounds, moved = 0, float("inf")
    while moved >= _STILL and rounds < _ROUNDS:
        rounds, moved = rounds + 1, 0.0
        for index, pair in enumerate(pairs):
            scale = scales(weights, pair)
            weights.scale_made(pair.first, scale)
            weights.scale_read(pair.second, scale, pair.repeat)
            total[index] = total[index] * scale
            moved = max(moved, float(scale.log().abs().max()))
    return weights, total, rounds


def scales(weights: Weights, pair: Pair) -> torch.Tensor:
    """s_i of one pair (C,); 1 for channels that nothing makes or nothing reads.

    An almost constant channel is only kept from being the largest that its reader has: its own weights, which are next to
    nothing, would blow up its bias.
    """
    made, read = weights.made(pair.first), weights.read(pair.second, pair.repeat)
    bias = weights.bias.get(id(pair.first), torch.zeros_like(made)).abs()
    silent = (made == 0) & (bias == 0) | (read == 0)
    constant = ~silent & (bias >= _ALMOST_CONSTANT * made)
    usual = ~silent & ~constant
    scale = torch.ones_like(made)
    scale[usual] = (made[usual] * read[usual]).sqrt() / read[usual]
    if bool(constant.any()) and bool(usual.any()):
        largest = (read[usual] * scale[usual]).max()
        scale[constant] = (largest / read[constant]).clamp(max=1.0)
    return scale
