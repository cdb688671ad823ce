"""One way of writing a layer as a chain of cheaper ones, at every rank."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import ClassVar

import torch

from edgekit.compress.rewriting.layer import Layer
from edgekit.ir import Node, TensorType
from edgekit.ir.ops.base import Op

#: One number, or two for a decomposition along two axes.
Rank = tuple[int, ...]

#: Weights of the chain in its order, double precision.
Factors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Candidate:
    """A rank and what it costs.

    Attributes:
        rank: of the factorization.
        error: ||W - W'|| / ||W|| (Frobenius) of the weight that the factors stand for.
        macs: of all of the layer's nodes, one sample. parameters: of all factors.
    """

    rank: Rank
    error: float
    macs: int
    parameters: int


class Factorization(ABC):
    """A layer as a chain. Subclasses say which shapes, which ops, which numbers; costs follow from the shapes."""

    #: As the user calls it.
    method: ClassVar[str]
    #: Names of the factors in order; the last one takes the layer's bias and activation.
    roles: ClassVar[tuple[str, ...]]

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    @staticmethod
    @abstractmethod
    def refuses(layer: Layer) -> str:
        """Why this layer has no such factorization; empty where it has one."""

    @property
    @abstractmethod
    def full(self) -> Rank:
        """The lowest rank at which the factors stand for the weight exactly."""

    @abstractmethod
    def shapes(self, rank: Rank) -> tuple[tuple[int, ...], ...]:
        """Shapes of the factors."""

    @abstractmethod
    def ops(self, node: Node, rank: Rank) -> tuple[Op, ...]:
        """The ops of the chain in place of one node; the last one has its activation."""

    def copies(self, rank: Rank) -> int:
        """How many times the first factor's input is put behind itself along the channels."""
        return 1

    @abstractmethod
    def factors(self, rank: Rank) -> Factors:
        """The factors that come closest to the weight."""

    def draft(self, rank: Rank) -> Factors:
        """Factors good enough to choose by, where the best take long."""
        return self.factors(rank)

    @abstractmethod
    def dense(self, factors: Factors) -> torch.Tensor:
        """The weight that factors stand for."""

    @abstractmethod
    def candidates(self, measure: str, round_to: int = 1) -> list[Candidate]:
        """Ranks worth considering where ``measure`` ("macs" or "parameters") is to fall, cheapest first.

        Ranks are multiples of ``round_to``, or full.
        """

    def given(self, amount: float, round_to: int = 1) -> Rank:
        """The rank that a number asks for: a share of the full one below 1 (to the nearest multiple of ``round_to``), else the
        rank itself, at most full.
        """
        if amount >= 1:
            return tuple(min(size, int(amount)) for size in self.full)
        return tuple(min(size, round_to * max(1, round(amount * size / round_to))) for size in self.full)

    def outputs(self, factors: Factors, rows: torch.Tensor) -> torch.Tensor:
        """What the chain makes of patches (n, I * kernel) of its input, without bias: (n, O)."""
        return rows @ self.dense(factors).flatten(1).T

    def error_of(self, factors: Factors) -> float:
        """||W - W'|| / ||W||."""
        dense = self.layer.dense
        return float((dense - self.dense(factors)).norm() / dense.norm().clamp_min(1e-300))

    def candidate(self, rank: Rank, error: float) -> Candidate:
        """With its costs by formula: elements of each factor, times the positions at which it is computed."""
        sizes = [prod(shape) for shape in self.shapes(rank)]
        return Candidate(rank, error, sum(n * p for n, p in zip(sizes, self.positions, strict=True)), sum(sizes))

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """For each factor, positions at which it is computed, summed over the layer's nodes; one sample."""
        totals = [0] * len(self.roles)
        rank = (1,) * len(self.full)
        for node in self.layer.nodes:
            type = node.input(0).type
            for index, (op, shape) in enumerate(zip(self.ops(node, rank), self.shapes(rank), strict=True)):
                (type,) = op.infer(type, TensorType(self.layer.dtype, shape))
                totals[index] += type.numel() // shape[0]
        return tuple(totals)


def error_curve(energies: torch.Tensor) -> list[float]:
    """Relative errors at ranks 1, 2, ... of squared singular values in falling order: sqrt(tail / all)."""
    energies = energies.clamp_min(0)
    total = float(energies.sum())
    if total == 0:
        return [0.0] * len(energies)
    tail = torch.flip(torch.cumsum(torch.flip(energies, (0,)), 0), (0,))[1:]
    return [float(e) ** 0.5 for e in (tail / total)] + [0.0]


def allowed_ranks(full: int, round_to: int) -> Sequence[int]:
    """Multiples of ``round_to`` below the full rank, and the full rank."""
    return [*range(round_to, full, round_to), full]


def balanced(left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same product of columns of ``left`` (..., m, r) with rows of ``right`` (..., r, n), each pair of equal norm.

    Then what flows between the two has no channel much larger than the others for want of scale, which integers need, and
    gradients of both are of one size.
    """
    a, b = left.norm(dim=-2), right.norm(dim=-1)
    scale = torch.where((a > 0) & (b > 0), (b / a.clamp_min(1e-300)).sqrt(), 1.0)
    return left * scale.unsqueeze(-2), right / scale.unsqueeze(-1)
