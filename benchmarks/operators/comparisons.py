"""Comparisons, logic and selection by condition."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.operators.row import function, integer, truth

IMAGE, VECTOR = (4, 9, 8), (6,)


def _blocked(x: torch.Tensor) -> torch.Tensor:
    return (x + 1.0).masked_fill(torch.arange(8) > 4, float("-inf")).softmax(-1)


def _masked(x: Tensor) -> Tensor:
    y = x * 2
    y[y > 1] = 0.5
    return y


ROWS = (
    function("x > y", lambda x, y: x > y, IMAGE, IMAGE, jumps=True),
    function("x >= number", lambda x: x >= 0.25, IMAGE, jumps=True),
    function("x < y", lambda x, y: x < y, IMAGE, IMAGE, jumps=True),
    function("x <= number", lambda x: x <= 0.25, IMAGE, jumps=True),
    function("x == y, integers", lambda x, y: x == y, integer(30), integer(30)),
    function("x != number, integers", lambda x: x != 2, integer(30)),
    function("& | ~ ^ of bool", lambda a, b: ((a & b) | ~a) ^ b, truth(12), truth(12)),
    function(
        "torch.logical_and, or, not, xor of numbers",
        lambda x: torch.logical_and(x, x - 1).logical_or(torch.logical_not(x)).logical_xor(x > 0),
        VECTOR,
        jumps=True,
    ),
    function("torch.where", lambda x, y: torch.where(x > 0, x, y), IMAGE, IMAGE, jumps=True),
    function("torch.where, numbers", lambda x: torch.where(x > 0, x, 0.0), IMAGE, any_rank=True),
    function("torch.where, a mask as input", lambda m, x: torch.where(m, x, 1.0), truth(6), VECTOR),
    function("masked_fill", lambda x: x.masked_fill(x < -0.5, 0.5), IMAGE, any_rank=True, jumps=True),
    function(
        "masked_fill with -inf, softmax",
        lambda x: x.masked_fill((x < 0) & (torch.arange(8) > 0), float("-inf")).softmax(-1),
        IMAGE,
        jumps=True,
    ),
    function("masked_fill with -inf and a constant mask, softmax", _blocked, IMAGE),
    function("x[mask] = number", _masked, VECTOR, jumps=True),
    function("torch.isnan, isinf, isfinite", lambda x: (torch.isnan(x), torch.isinf(x), torch.isfinite(x)), VECTOR),
    function("torch.any, torch.all", lambda x: ((x > 1).any(-1), (x > -1).all(-1)), IMAGE, jumps=True),
    function("torch.tril, torch.triu", lambda x: (torch.tril(x), torch.triu(x, 1)), (6, 6), moves=True),
    function("torch.heaviside", lambda x: torch.heaviside(x, torch.tensor(0.5)), VECTOR, jumps=True),
)
