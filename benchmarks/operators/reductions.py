"""Reductions, searches and running sums."""

from __future__ import annotations

import torch

from benchmarks.operators.row import function, integer, refused

IMAGE, SEQUENCE = (4, 9, 8), (5, 7)

ROWS = (
    function("torch.mean, one axis", lambda x: x.mean(-1), IMAGE, any_rank=True),
    function("torch.mean, an image", lambda x: x.mean((2, 3)), IMAGE),
    function("torch.mean, keepdim", lambda x: x.mean((2, 3), keepdim=True), IMAGE),
    function("torch.mean, channels", lambda x: x.mean(1, keepdim=True), IMAGE),
    function("torch.mean, all of a sample", lambda x: x.mean((1, 2, 3)), IMAGE),
    function("torch.sum", lambda x: x.sum(-1), IMAGE, any_rank=True),
    function("torch.sum, several axes, keepdim", lambda x: x.sum((1, 3), keepdim=True), IMAGE),
    function("torch.sum of bool", lambda x: (x > 0).sum(1), SEQUENCE, jumps=True),
    function("torch.amax, torch.amin", lambda x: (x.amax(-1), x.amin((1, 2))), IMAGE, moves=True),
    function("torch.max, values and indices", lambda x: torch.max(x, -1), SEQUENCE, jumps=True),
    function("torch.min, values and indices", lambda x: torch.min(x, -1), SEQUENCE, jumps=True),
    function("torch.argmax", lambda x: x.argmax(-1), SEQUENCE, jumps=True),
    function("torch.argmax, channels of an image", lambda x: x.argmax(1), IMAGE, jumps=True),
    function("torch.argmin", lambda x: x.argmin(-1), SEQUENCE, jumps=True),
    function("torch.var", lambda x: x.var(-1), IMAGE, any_rank=True),
    function("torch.std, correction 0", lambda x: x.std((2, 3), correction=0), IMAGE),
    function("torch.var_mean", lambda x: torch.var_mean(x, -1, keepdim=True), IMAGE),
    function("torch.norm", lambda x: torch.linalg.vector_norm(x, dim=-1), IMAGE, any_rank=True),
    function("torch.norm, p = 1", lambda x: x.norm(1, -1), IMAGE),
    function("torch.norm, p = 3", lambda x: x.norm(3, -1), IMAGE),
    function("torch.logsumexp", lambda x: torch.logsumexp(x, -1), IMAGE, any_rank=True),
    function("torch.prod", lambda x: x.prod(-1), SEQUENCE),
    function("torch.cumsum", lambda x: x.cumsum(1), SEQUENCE),
    function("torch.cumsum of integers", lambda x: x.cumsum(1), integer(6)),
    function("torch.topk, one", lambda x: torch.topk(x, 1), SEQUENCE, jumps=True),
    function("torch.topk, some", lambda x: torch.topk(x, 4), SEQUENCE, jumps=True),
    function("torch.topk, smallest", lambda x: torch.topk(x, 2, largest=False), SEQUENCE, jumps=True),
    refused("torch.topk, 17 and more", lambda x: torch.topk(x, 17), "topk", (20,)),
    refused("torch.sort", lambda x: torch.sort(x, -1), "aten.sort", (40,)),
    refused("torch.cumprod", lambda x: torch.cumprod(x, 1), "aten.cumprod", SEQUENCE),
    refused("torch.median", lambda x: x.median(-1).values, "aten.median", SEQUENCE),
    refused("torch.nonzero", lambda x: torch.nonzero(x), "aten.nonzero", SEQUENCE),
    refused("torch.unique", lambda x: torch.unique(x), "unique", SEQUENCE),
)
