"""A layer as one with few output channels and a pointwise one: the SVD of its weight as a matrix."""

from __future__ import annotations

from functools import cached_property

import torch

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


class MatrixSvd(Factorization):
    """W (O, I K) = up (O, r) down (r, I K), cut to rank r by its SVD, the closest of that rank (Eckart & Young 1936).

    ``down`` has the kernel, stride, padding and dilation of the layer, ``up`` is pointwise (Zhang et al. 2015,
    arXiv:1411.4229; for linear layers and 1x1 convolutions the plain SVD, Denton et al. 2014, arXiv:1404.0736).
    """

    method = "svd"
    roles = ("down", "up")

    @staticmethod
    def refuses(layer: Layer) -> str:
        return "" if layer.groups == 1 else f"it is a convolution in {layer.groups} groups"

    @property
    def full(self) -> Rank:
        return (min(self.layer.shape[0], self.layer.parameters // self.layer.shape[0]),)

    def shapes(self, rank: Rank) -> tuple[tuple[int, ...], ...]:
        outputs, *rest = self.layer.shape
        return (rank[0], *rest), (outputs, rank[0], *[1] * len(self.layer.kernel))

    def ops(self, node: Node, rank: Rank) -> tuple[Op, ...]:
        if not self.layer.is_convolution:
            op = self.layer.op(node)
            return op.with_(activation="none"), op
        return node.op.with_(activation="none"), pointwise(node, activation=True)

    @cached_property
    def _svd(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return thin_svd(self.layer.dense.flatten(1))

    def candidates(self, measure: str, round_to: int = 1) -> list[Candidate]:
        errors = error_curve(self._svd[1] ** 2)
        return [self.candidate((r,), errors[r - 1]) for r in allowed_ranks(self.full[0], round_to)]

    def factors(self, rank: Rank) -> Factors:
        u, s, v = self._svd
        up, down = balanced(u[:, : rank[0]] * s[: rank[0]], v[: rank[0]])
        first, last = self.shapes(rank)
        return down.reshape(first), up.reshape(last)

    def dense(self, factors: Factors) -> torch.Tensor:
        return (factors[1].flatten(1) @ factors[0].flatten(1)).reshape(self.layer.shape)


def pointwise(node: Node, *, activation: bool = False) -> Op:
    """A 1x1 convolution of the node's kind, with its activation if asked."""
    ones = (1,) * len(node.op.stride)  # type: ignore[attr-defined]
    op = node.op.with_(stride=ones, padding=((0, 0),) * len(ones), dilation=ones)
    return op if activation else op.with_(activation="none")


def thin_svd(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U (m, R), singular values (R) in falling order and V^T (R, n) with R = min(m, n).

    From the eigenvectors of the smaller of the two Gram matrices, which for the flat matrices of convolutions takes a small
    part of the time. U U^T W is W to rounding at full rank, so the product is exact although small singular values are not.
    """
    if matrix.shape[0] > matrix.shape[1]:
        u, s, v = thin_svd(matrix.T)
        return v.T, s, u.T
    u = basis(matrix @ matrix.T)
    v = u.T @ matrix
    s = v.norm(dim=1)
    return u, s, v / torch.where(s > 0, s, 1.0).unsqueeze(1)


def basis(gram: torch.Tensor) -> torch.Tensor:
    """Eigenvectors as columns, those of the largest eigenvalues first."""
    vectors: torch.Tensor = torch.linalg.eigh(gram)[1]
    return vectors.flip(1)
