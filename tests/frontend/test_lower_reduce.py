"""Reductions keep their values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from edgekit import Unsupported
from tests.frontend.compare import assert_same

X = torch.randn(2, 3, 5, 4)

FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "mean": lambda x: (x.mean(), x.mean((2, 3)), x.mean(-1, keepdim=True), x.mean(0)),
    "mean of integers": lambda x: (x * 3).int().mean(1, dtype=torch.float32),
    "sum": lambda x: (x.sum(), x.sum(-1), x.sum((1, 2), keepdim=True), (x > 0).sum(1)),
    "extremes": lambda x: (x.amax((1, 2)), x.amin(3, keepdim=True), x.max(), x.min(), x.max(1).values, x.min(2)[0]),
    "indices": lambda x: (x.argmax(1), x.argmin(1), x.max(1)[1], x.min(2).indices, x.argmax(-1, keepdim=True)),
    "variance": lambda x: (x.var(1), x.var((2, 3), keepdim=True), x.var(1, unbiased=False), torch.var(x, 2, correction=2)),
    "deviation": lambda x: (x.std((2, 3)), x.std(1, unbiased=False), *torch.std_mean(x, 1), *torch.var_mean(x, (1, 2))),
    "norms": lambda x: (x.norm(dim=1), x.norm(p=1, dim=1), x.norm(p=math.inf, dim=(2, 3)), torch.linalg.norm(x, dim=-1)),
    "norm of order 3": lambda x: torch.linalg.vector_norm(x, 3, dim=1),
    "normalize": lambda x: (F.normalize(x), F.normalize(x, p=1, dim=2)),
    "logsumexp": lambda x: (x.logsumexp(1), torch.logsumexp(x, (1, 2), keepdim=True)),
    "products": lambda x: (x.prod(1), x.prod(-1, keepdim=True), (x > 0).prod(2)),
    "few largest": lambda x: (*torch.topk(x, 2), *torch.topk(x, 3, 1, largest=False)),
    "a tuple of torch's own": lambda x: torch.max(x, 1)[0],
    "cumsum": lambda x: (x.cumsum(2), (x > 0).cumsum(-1)),
    "any and all": lambda x: ((x > 0).any(1), (x > 0).all(-1), (x > -9).all(), torch.any(x, dim=2)),
    "softmaxes": lambda x: (x.softmax(1), x.log_softmax(-1), F.softmin(x, 2)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_reduction_keeps_its_values(name: str) -> None:
    assert_same(FUNCTIONS[name], X, tolerance=1e-5)


@pytest.mark.parametrize("function", [lambda x: x.var(), lambda x: x.argmax()], ids=["variance", "index"])
def test_what_counts_samples_fixes_the_batch(function: Callable[[torch.Tensor], Any]) -> None:
    graph = assert_same(function, X, batches=(), tolerance=1e-5)
    assert "runs over the batch" in graph.notes[0] and graph.inputs[0].shape == (2, 3, 5, 4)


REFUSED: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "product of many": (lambda x: x.flatten(1).repeat(1, 2).prod(1), "multiplies 120 elements"),
    "sort": (lambda x: x.sort(1)[0], r"aten\.sort\.default"),
    "most of many": (lambda x: x.flatten(1).topk(17)[0], "takes 17 of 60 elements"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused(name: str) -> None:
    function, message = REFUSED[name]
    with pytest.raises(Unsupported, match=message):
        assert_same(function, X)
