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
from edgekit.compress.rewriting.layers import Layer
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
    #: Set by the step: the activation between the two, "" for none.
    activation = ""

    @staticmethod
    def refuses(layer: Layer) -> str:
        if not layer.is_convolution:
            return "it is a linear layer, not a convolution"
        if layer.groups > 1:
            depthwise = layer.weight.tensor_shape[1] == 1
            return "it is a depthwise convolution already" if depthwise else f"it is a convolution in {layer.groups} groups"
        if prod(layer.kernel) == 1:
            return "it is a pointwise convolution already"
        return ""

    @property
    def full(self) -> Rank:
        return (min(prod(self.layer.kernel), self.layer.weight.tensor_shape[0]),)

    def shapes(self, rank: Rank) -> tuple[tuple[int, ...], ...]:
        outputs, inputs, *kernel = self.layer.weight.tensor_shape
        between = inputs * rank[0]
        return (between, 1, *kernel), (outputs, between, *[1] * len(kernel))

    def ops(self, node: Node) -> tuple[Op, ...]:
        ones = (1,) * len(self.layer.kernel)
        depthwise = node.op.with_(groups=self.layer.weight.tensor_shape[1], activation="none")
        return depthwise, node.op.with_(stride=ones, padding=((0, 0),) * len(ones), dilation=ones)

    @cached_property
    def _svd(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of each input channel: (I, O, R), (I, R), (I, R, K)."""
        u, s, v = torch.linalg.svd(self.layer.dense.flatten(2).transpose(0, 1), full_matrices=False)
        # The sign is free: filters with a positive sum keep what a rectifier between them would let through of images.
        sign = torch.where(v.sum(-1, keepdim=True) < 0, -1.0, 1.0)
        return u * sign.transpose(1, 2), s, v * sign

    def candidates(self, measure: str, round_to: int = 1) -> list[Candidate]:
        errors = error_curve((self._svd[1] ** 2).sum(0))
        return [self.candidate((r,), errors[r - 1]) for r in allowed_ranks(self.full[0], round_to)]

    def factors(self, rank: Rank) -> Factors:
        u, s, v = (t[..., : rank[0]] for t in (self._svd[0], self._svd[1], self._svd[2].transpose(1, 2)))
        pointwise, depthwise = balanced(u * s.unsqueeze(1), v.transpose(1, 2))
        first, last = self.shapes(rank)
        return depthwise.reshape(first), pointwise.permute(1, 0, 2).reshape(last)

    def dense(self, factors: Factors) -> torch.Tensor:
        outputs, inputs, *kernel = self.layer.weight.tensor_shape
        pointwise = factors[1].reshape(outputs, inputs, -1)
        depthwise = factors[0].reshape(inputs, pointwise.shape[2], -1)
        return torch.einsum("oir,irk->oik", pointwise, depthwise).reshape(outputs, inputs, *kernel)

    def outputs(self, factors: Factors, rows: torch.Tensor) -> torch.Tensor:
        inputs = self.layer.weight.tensor_shape[1]
        depthwise = factors[0].reshape(inputs, -1, prod(self.layer.kernel))
        made = torch.einsum("nik,irk->nir", rows.reshape(len(rows), inputs, -1), depthwise).flatten(1)
        made = ACTIVATIONS[self.activation](made) if self.activation else made
        return made @ factors[1].flatten(1).T


class Rectified(DepthwisePointwise):
    """With a ReLU between."""

    activation = "relu"


class Rectified6(DepthwisePointwise):
    """With a ReLU6 between."""

    activation = "relu6"


#: By what the step calls the activation between.
BY_ACTIVATION = {"none": DepthwisePointwise, "relu": Rectified, "relu6": Rectified6}
