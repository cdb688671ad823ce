"""A 2-D convolution as a vertical and a horizontal one."""

from __future__ import annotations

from functools import cached_property

import torch

from edgekit.compress.low_rank.matrix import thin_svd
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


class SpatialSvd(Factorization):
    """W[o, i, y, x] = sum_r horizontal[o, r, x] vertical[r, i, y]: the SVD of W as a matrix (O Kx, I Ky)
    (Jaderberg et al. 2014, arXiv:1405.3866).

    The vertical factor has the first of stride, padding and dilation, the horizontal one the second; nothing stands between
    them, so padding one after the other pads as both at once.
    """

    method = "spatial_svd"
    roles = ("vertical", "horizontal")

    @staticmethod
    def refuses(layer: Layer) -> str:
        if len(layer.kernel) != 2:
            return "it has no two spatial axes"
        if layer.groups > 1:
            return f"it is a convolution in {layer.groups} groups"
        return "its kernel is one element high or wide: there is nothing to split" if 1 in layer.kernel else ""

    @property
    def full(self) -> Rank:
        outputs, inputs, high, wide = self.layer.shape
        return (min(outputs * wide, inputs * high),)

    def shapes(self, rank: Rank) -> tuple[tuple[int, ...], ...]:
        outputs, inputs, high, wide = self.layer.shape
        return (rank[0], inputs, high, 1), (outputs, rank[0], 1, wide)

    def ops(self, node: Node, rank: Rank) -> tuple[Op, ...]:
        op = node.op
        stride, padding, dilation = op.stride, op.padding, op.dilation  # type: ignore[attr-defined]
        vertical = op.with_(stride=(stride[0], 1), padding=(padding[0], (0, 0)), dilation=(dilation[0], 1), activation="none")
        return vertical, op.with_(stride=(1, stride[1]), padding=((0, 0), padding[1]), dilation=(1, dilation[1]))

    @cached_property
    def _svd(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        outputs, inputs, high, wide = self.layer.shape
        return thin_svd(self.layer.dense.permute(0, 3, 1, 2).reshape(outputs * wide, inputs * high))

    def candidates(self, measure: str, round_to: int = 1) -> list[Candidate]:
        errors = error_curve(self._svd[1] ** 2)
        return [self.candidate((r,), errors[r - 1]) for r in allowed_ranks(self.full[0], round_to)]

    def factors(self, rank: Rank) -> Factors:
        outputs, inputs, high, wide = self.layer.shape
        u, s, v = self._svd
        horizontal, vertical = balanced(u[:, : rank[0]] * s[: rank[0]], v[: rank[0]])
        last = horizontal.reshape(outputs, wide, rank[0]).permute(0, 2, 1).unsqueeze(2)
        return vertical.reshape(rank[0], inputs, high, 1), last.contiguous()

    def dense(self, factors: Factors) -> torch.Tensor:
        return torch.einsum("riy,orx->oiyx", factors[0].squeeze(3), factors[1].squeeze(2))
