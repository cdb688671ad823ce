"""A convolution as a depthwise one with a multiplier and a pointwise one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import prod

import torch
from torch.nn import functional as F

from edgekit.compress.rewriting.factorization import (
    Candidate,
    Factorization,
    Factors,
    Rank,
    allowed_ranks,
    balanced,
    error_curve,
)
from edgekit.compress.rewriting.layer import Layer
from edgekit.ir import Node
from edgekit.ir.ops.base import Op

#: What may stand between the two besides a batch norm.
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"relu": F.relu, "relu6": F.relu6}


class DepthwisePointwise(Factorization):
    """For each input channel i, the matrix W[:, i] (O, K) of its filters, K elements each, is cut to rank r by its SVD:

        W[o, i, k] = sum_j pointwise[o, i r + j] depthwise[i r + j, k]

    which is the closest of that form (Eckart & Young 1936), and W itself at r = min(K, O). A multiplier of 1 is MobileNet's
    layer (Howard et al. 2017, arXiv:1704.04861); its cost relative to the convolution's is 1/O + 1/K, r times that with a
    multiplier of r.
    """

    method = "separable"
    roles = ("depthwise", "pointwise")
    #: Set by the step: the activation between the two, "" for none; and whether multipliers above 1 are written as a
    #: depthwise convolution (multiplier 1) of as many copies of the input. Then channel j I + i is filter j of input i.
    activation = ""
    with_copies = False
    #: And the highest multiplier that is tried where none is given.
    highest: int | None = None

    @staticmethod
    def refuses(layer: Layer) -> str:
        if not layer.is_convolution:
            return f"it is {layer.kind}, not a convolution"
        if layer.groups > 1:
            depthwise = layer.shape[1] == 1
            return "it is a depthwise convolution already" if depthwise else f"it is a convolution in {layer.groups} groups"
        if prod(layer.kernel) == 1:
            return "it is a pointwise convolution already"
        return ""

    @property
    def full(self) -> Rank:
        return (min(prod(self.layer.kernel), self.layer.shape[0]),)

    def shapes(self, rank: Rank) -> tuple[tuple[int, ...], ...]:
        outputs, inputs, *kernel = self.layer.shape
        between = inputs * rank[0]
        return (between, 1, *kernel), (outputs, between, *[1] * len(kernel))

    def ops(self, node: Node, rank: Rank) -> tuple[Op, ...]:
        ones = (1,) * len(self.layer.kernel)
        groups = self.layer.shape[1] * self.copies(rank)
        depthwise = node.op.with_(groups=groups, activation="none")
        return depthwise, node.op.with_(stride=ones, padding=((0, 0),) * len(ones), dilation=ones)

    def copies(self, rank: Rank) -> int:
        return rank[0] if self.with_copies else 1

    @cached_property
    def _svd(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of each input channel: (I, O, R), (I, R), (I, R, K)."""
        u, s, v = torch.linalg.svd(self.layer.dense.flatten(2).transpose(0, 1), full_matrices=False)
        # The sign is free: filters with a positive sum keep what a rectifier between them would let through of images.
        sign = torch.where(v.sum(-1, keepdim=True) < 0, -1.0, 1.0)
        return u * sign.transpose(1, 2), s, v * sign

    def candidates(self, measure: str, round_to: int = 1) -> list[Candidate]:
        errors = error_curve((self._svd[1] ** 2).sum(0))
        most = self.full[0] if self.highest is None else self.highest
        return [self.candidate((r,), errors[r - 1]) for r in allowed_ranks(self.full[0], round_to) if r <= most]

    def factors(self, rank: Rank) -> Factors:
        u, s, v = (t[..., : rank[0]] for t in (self._svd[0], self._svd[1], self._svd[2].transpose(1, 2)))
        pointwise, depthwise = balanced(u * s.unsqueeze(1), v.transpose(1, 2))  # (I, O, r), (I, r, K)
        return self._joined(depthwise, pointwise.transpose(0, 1), rank)

    def dense(self, factors: Factors) -> torch.Tensor:
        depthwise, pointwise = self._split(factors)
        return torch.einsum("oir,irk->oik", pointwise, depthwise).reshape(self.layer.shape)

    def outputs(self, factors: Factors, rows: torch.Tensor) -> torch.Tensor:
        depthwise, pointwise = self._split(factors)
        made = torch.einsum("nik,irk->nir", rows.reshape(len(rows), len(depthwise), -1), depthwise)
        made = ACTIVATIONS[self.activation](made) if self.activation else made
        return torch.einsum("nir,oir->no", made, pointwise)

    def _joined(self, depthwise: torch.Tensor, pointwise: torch.Tensor, rank: Rank) -> Factors:
        """(I, r, K) and (O, I, r) as the weights of the two convolutions."""
        if self.with_copies:
            depthwise, pointwise = depthwise.transpose(0, 1), pointwise.transpose(1, 2)
        first, last = self.shapes(rank)
        return depthwise.reshape(first), pointwise.reshape(last)

    def _split(self, factors: Factors) -> tuple[torch.Tensor, torch.Tensor]:
        """The inverse."""
        outputs, inputs = self.layer.shape[:2]
        if not self.with_copies:
            pointwise = factors[1].reshape(outputs, inputs, -1)
            return factors[0].reshape(inputs, pointwise.shape[2], -1), pointwise
        pointwise = factors[1].reshape(outputs, -1, inputs).transpose(1, 2)
        return factors[0].reshape(pointwise.shape[2], inputs, -1).transpose(0, 1), pointwise


def method(activation: str, copies: bool, highest: int | None) -> type[DepthwisePointwise]:
    """The factorization with an activation between ("" for none), multipliers written as copies or not, and their limit."""

    class Set(DepthwisePointwise):
        """As the step sets it."""

    Set.activation, Set.with_copies, Set.highest = activation, copies, highest
    return Set
