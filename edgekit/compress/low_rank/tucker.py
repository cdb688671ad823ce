"""A convolution as a pointwise one, a small one of its kernel, and a pointwise one."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np
import torch

from edgekit.compress.low_rank.matrix import basis, pointwise
from edgekit.compress.rewriting.factorization import Candidate, Factorization, Factors, Rank, allowed_ranks
from edgekit.compress.rewriting.layer import Layer
from edgekit.ir import Node
from edgekit.ir.ops.base import Op

#: HOOI ends when the core's norm grows by less than this share.
_SETTLED = 1e-7


class Tucker2(Factorization):
    """W[o, i, k] = sum_ab up[o, a] core[a, b, k] down[b, i], with ranks (a, b) of the outputs and inputs.

    Begun with the leading vectors of both unfoldings (HOSVD, De Lathauwer et al. 2000) and improved by turns (HOOI), each
    turn optimal for one side given the other; Kim et al. 2016, arXiv:1511.06530. ``core`` has stride, padding and dilation.
    """

    method = "tucker2"
    roles = ("down", "core", "up")
    #: Turns of HOOI at most; set by the step.
    iterations = 10

    @staticmethod
    def refuses(layer: Layer) -> str:
        if not layer.is_convolution:
            return f"it is {layer.kind}: Tucker-2 is for kernels of more than one element"
        if layer.groups > 1:
            return f"it is a convolution in {layer.groups} groups"
        return "its kernel has one element: Tucker-2 would be an SVD with one factor more" if prod(layer.kernel) == 1 else ""

    @property
    def full(self) -> Rank:
        outputs, inputs = self.layer.shape[:2]
        taps = prod(self.layer.kernel)
        return min(outputs, inputs * taps), min(inputs, outputs * taps)

    def shapes(self, rank: Rank) -> tuple[tuple[int, ...], ...]:
        outputs, inputs, *kernel = self.layer.shape
        ones = [1] * len(kernel)
        return (rank[1], inputs, *ones), (rank[0], rank[1], *kernel), (outputs, rank[0], *ones)

    def ops(self, node: Node, rank: Rank) -> tuple[Op, ...]:
        return pointwise(node), node.op.with_(activation="none"), pointwise(node, activation=True)

    @cached_property
    def _tensor(self) -> torch.Tensor:
        """W as (O, I, K)."""
        return self.layer.dense.flatten(2)

    @cached_property
    def _bases(self) -> tuple[torch.Tensor, torch.Tensor]:
        """All left singular vectors of both unfoldings: (O, O), (I, I)."""
        w = self._tensor
        return basis(torch.einsum("oik,pik->op", w, w)), basis(torch.einsum("oik,ojk->ij", w, w))

    def candidates(self, measure: str, round_to: int = 1) -> list[Candidate]:
        """Pairs of ranks of which none is both cheaper and closer; errors are those of HOSVD, exact for it."""
        ups, downs = self._bases
        energy = torch.einsum("oik,oa,ib->abk", self._tensor, ups, downs).square().sum(2)
        kept = energy.cumsum(0).cumsum(1).numpy()
        total = max(float(energy.sum()), 1e-300)
        a = np.array(allowed_ranks(self.full[0], round_to))[:, None]
        b = np.array(allowed_ranks(self.full[1], round_to))[None, :]
        lost = np.clip(1 - kept[a - 1, b - 1] / total, 0, None)
        outputs, inputs = self.layer.shape[:2]
        sizes = np.stack([b * inputs + 0 * a, a * b * prod(self.layer.kernel), a * outputs + 0 * b])
        weights = self.positions if measure == "macs" else (1, 1, 1)
        cost = sum(size * weight for size, weight in zip(sizes, weights, strict=True))
        order = np.lexsort((lost.ravel(), np.asarray(cost).ravel()))
        losses = lost.ravel()[order]
        closer = losses < np.concatenate([[np.inf], np.minimum.accumulate(losses)[:-1]])
        rows, columns = np.divmod(order[closer], b.size)
        return [
            self.candidate((row, column), loss**0.5)
            for row, column, loss in zip(a[rows, 0].tolist(), b[0, columns].tolist(), losses[closer].tolist(), strict=True)
        ]

    def draft(self, rank: Rank) -> Factors:
        return self._improved(rank, 0)

    def factors(self, rank: Rank) -> Factors:
        return self._improved(rank, self.iterations)

    def _improved(self, rank: Rank, turns: int) -> Factors:
        w, (up, down) = self._tensor, self._bases
        up, down = up[:, : rank[0]], down[:, : rank[1]]
        before = 0.0
        for _ in range(turns if rank != self.full else 0):
            seen = torch.einsum("oik,ib->obk", w, down).flatten(1)
            up = basis(seen @ seen.T)[:, : rank[0]]
            seen = torch.einsum("oik,oa->iak", w, up).flatten(1)
            down = basis(seen @ seen.T)[:, : rank[1]]
            norm = float(torch.einsum("iak,ib->bak", seen.reshape(w.shape[1], rank[0], -1), down).norm())
            if norm <= before * (1 + _SETTLED):
                break
            before = norm
        core = torch.einsum("oik,oa,ib->abk", w, up, down)
        first, middle, last = self.shapes(rank)
        return down.T.reshape(first), core.reshape(middle), up.reshape(last)

    def dense(self, factors: Factors) -> torch.Tensor:
        down, core, up = factors
        w = torch.einsum("abk,bi,oa->oik", core.flatten(2), down.flatten(1), up.flatten(1))
        return w.reshape(self.layer.shape)
