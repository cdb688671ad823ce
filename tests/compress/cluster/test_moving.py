"""Weights that may change to another shared value while they are trained."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.cluster.codebooks import codebook_of
from edgekit.compress.cluster.moving import Moving
from tests.train.networks import blobs, digits

torch.set_num_threads(1)


def test_a_step_moves_free_weights_by_the_gradient_at_the_shared_ones() -> None:
    """One step of plain gradient descent, beside the same in numpy."""
    graph = copy.deepcopy(ek.Sparsify(sparsity=0.5).apply(digits()))
    weight = graph.state["head.weight"].tensor
    free = weight.detach().clone()
    book = codebook_of(graph.state["head.weight"], 2, ek.Cluster(bits=2))
    rule = Moving(graph, {"head.weight": book})
    rule.weights()
    shared = weight.detach().clone()
    there = book.labels >= 0
    assert len(torch.unique(shared[there])) == 4 and not bool(shared[~there].any())
    x, y = (torch.from_numpy(a) for a in blobs(32))
    module = graph.module().eval()  # no dropout
    nn.functional.cross_entropy(module(x), y).backward()
    assert weight.grad is not None
    gradient = weight.grad.clone()
    rate = 2 * float(free[there].abs().max() / gradient[there].abs().max())  # large enough that some change sides
    rule.gradients()
    assert torch.equal(weight.grad[there], gradient[there]) and not bool(weight.grad[~there].any())
    values = np.unique(shared[there].numpy())
    torch.optim.SGD([dict(module.named_parameters())["head.weight"]], lr=rate).step()
    torch.optim.SGD(rule.trained, lr=rate / 100).step()
    rule.weights()
    before = np.searchsorted(values, shared[there].numpy())
    free = free.clamp(*_ends(values))
    sums = np.array([gradient[there].numpy()[before == k].sum() for k in range(4)])
    learnt = np.sort(values - rate / 100 * sums)
    moved = np.clip((free - rate * gradient)[there].numpy(), *_ends(learnt))
    after = np.abs(moved[:, None] - learnt).argmin(1)
    np.testing.assert_allclose(weight.detach()[there].numpy(), learnt[after], rtol=1e-4, atol=1e-6)
    assert not bool(weight.detach()[~there].any())
    assert (after != before).any() and not np.allclose(learnt, values, rtol=1e-3)
    np.testing.assert_allclose(rule.tensors()["free/head.weight"].numpy(), moved, rtol=1e-4, atol=1e-6)


def _ends(values: np.ndarray) -> tuple[float, float]:  # type: ignore[type-arg]
    """Half a step beyond the first and the last value."""
    return float(3 * values[0] - values[1]) / 2, float(3 * values[-1] - values[-2]) / 2


def test_weights_change_sides_and_nothing_that_was_pruned_comes_back() -> None:
    data = ek.Data(train=blobs())
    sparse = ek.Sparsify(sparsity=0.5).apply(ek.FineTune(epochs=4, batch_size=16, lr=0.02).apply(digits(), data))
    how = ek.Training(batch_size=16, lr=0.01, optimizer="adam", weight_decay=0.0, validation=0.0)
    fixed, trained = (
        ek.Cluster(bits=2, epochs=4, training=how, assignment=kind).apply(sparse, data) for kind in ("fixed", "trained")
    )
    for name in ("conv.weight", "head.weight"):
        before, one, other = (graph.state[name].tensor.detach() for graph in (sparse, fixed, trained))
        assert len(torch.unique(other[before != 0])) <= 4
        assert torch.equal(one == 0, before == 0) and not bool(other[before == 0].any())
        sides = [torch.unique(tensor[before != 0], return_inverse=True)[1] for tensor in (one, other)]
        assert not torch.equal(*sides)
