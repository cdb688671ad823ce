"""AdaRound: for every weight, up or down is learned from what the layer's output loses.

With the grid step s and h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1) (the rectified sigmoid), the soft weight is
W~ = s clip(floor(W / s) + h(V), n, p), and V minimises

    | f(W~ x') - f(W x) |^2  +  lambda sum(1 - |2 h(V) - 1|^beta)

where x' is what the quantised network feeds the layer, x what the float one does, and f the layer's activation. beta falls
from 20 to 2, so that h is free at first and 0 or 1 in the end; in the warm start the second term is absent.

Source: Nagel et al. 2020, arXiv:2004.10568, equations 21-25. Here the first term is relative to that of rounding to nearest
and the second is a mean, so that one lambda fits layers of every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.ir.ops.activation import fused

#: Of the rectified sigmoid.
_ZETA, _GAMMA = 1.1, -0.1

#: The regulariser's weight, the exponent at its ends, and the share of the iterations in which it is absent.
_LAMBDA = 200.0
_BETA = (20.0, 2.0)
_WARM = 0.2

_LEARNING_RATE = 1e-2

#: Rows that one iteration looks at.
_ROWS = 512


@dataclass(frozen=True)
class Problem:
    """One layer: M rows, G groups, I inputs and O outputs of each.

    Attributes:
        weight: float, (G, O, I).
        scale: of its integers, broadcast to (G, O, 1).
        limits: smallest and largest integer.
        bias: (G, O), or None.
        rows: inputs from the quantised network, (M, G, I).
        targets: float outputs after the activation, (M, G, O).
        activation: as in ``activation`` attributes.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    limits: tuple[int, int]
    bias: torch.Tensor | None
    rows: torch.Tensor
    targets: torch.Tensor
    activation: str = "none"

    @property
    def floors(self) -> torch.Tensor:
        """The integers below the weights."""
        return torch.floor(self.weight / self.scale)

    def nearest(self) -> torch.Tensor:
        """The integers nearest to the weights (half to even), as floats."""
        return torch.round(self.weight / self.scale).clamp(*self.limits)

    def error(self, integers: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the layer's outputs with these (soft) integers: a number."""
        weight = integers * self.scale
        if weight.shape[0] == 1:
            out = (rows[:, 0] @ weight[0].T)[:, None]
        elif weight.shape[1] == 1:
            out = (rows * weight[None, :, 0]).sum(2, keepdim=True)
        else:
            out = torch.bmm(rows.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)
        if self.bias is not None:
            out = out + self.bias
        return (fused(out, self.activation) - targets).square().mean()


def rectified_sigmoid(v: torch.Tensor) -> torch.Tensor:
    """h(V) (arXiv:2004.10568, eq. 23)."""
    return (torch.sigmoid(v) * (_ZETA - _GAMMA) + _GAMMA).clamp(0.0, 1.0)


def beta_at(progress: float) -> float:
    """The regulariser's exponent by the share of the iterations after the warm start that are done."""
    return _BETA[0] + (_BETA[1] - _BETA[0]) * progress


def learn(problem: Problem, *, iterations: int, seed: int) -> torch.Tensor:
    """The learned integers (G, O, I), as floats: each the one below or above its weight, or the weight's own.

    Args:
        problem: the layer.
        iterations: of Adam, on ``_ROWS`` rows each.
        seed: of the rows.
    """
    floors, least = problem.floors, 1e-12
    share = problem.weight / problem.scale - floors
    free = (share > 0.0).float()  # what lies on the grid stays there: zeros of a sparse weight above all
    share = share.clamp(0.001, 0.999)
    v = torch.logit((share - _GAMMA) / (_ZETA - _GAMMA)).requires_grad_()  # h(v) = share: the soft weight begins as W
    reference = max(float(problem.error(problem.nearest(), problem.rows, problem.targets)), least)
    optimizer = torch.optim.Adam([v], lr=_LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    for iteration in range(iterations):
        picks = torch.randint(len(problem.rows), (min(_ROWS, len(problem.rows)),), generator=generator)
        with torch.enable_grad():
            h = rectified_sigmoid(v) * free
            loss = problem.error((floors + h).clamp(*problem.limits), problem.rows[picks], problem.targets[picks]) / reference
            progress = (iteration / iterations - _WARM) / (1.0 - _WARM)
            if progress >= 0.0:
                loss = loss + _LAMBDA * (1.0 - (2.0 * h - 1.0).abs() ** beta_at(progress)).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return (floors + (rectified_sigmoid(v.detach()) * free >= 0.5)).clamp(*problem.limits)
