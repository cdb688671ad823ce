"""The oracle of the torch frontend's tests: a graph computes what its source computes, gradients included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from edgekit.frontend.source import load
from edgekit.ir import Graph

torch.set_num_threads(1)


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(*tensors)


def as_module(source: nn.Module | Callable[..., Any]) -> nn.Module:
    return source if isinstance(source, nn.Module) else Function(source)


def other_batch(tensor: torch.Tensor, batch: int, axis: int = 0) -> torch.Tensor:
    """Random values of a tensor's kind at another batch size; integers stay below the largest one given."""
    shape = list(tensor.shape)
    shape[axis] = batch
    if tensor.is_floating_point():
        return torch.randn(shape, dtype=tensor.dtype)
    return torch.randint(0, int(tensor.max()) + 1, shape, dtype=tensor.dtype)


def assert_same(
    source: nn.Module | Callable[..., Any],
    *inputs: torch.Tensor,
    batches: Sequence[int] = (1, 5),
    tolerance: float = 1e-6,
    gradients: bool = True,
    axes: Sequence[int | None] | None = None,
    batch_axes: dict[str, int | None] | None = None,
) -> Graph:
    """Loads a source and compares graph and source at the example and at other batch sizes.

    ``axes`` says which axis of each input is the batch; gradients with respect to inputs and parameters are compared too.
    """
    torch.manual_seed(0)
    module = as_module(source).eval()
    graph = load(module, inputs, batch_axes=batch_axes)
    graph.verify()
    run = graph.module().eval()
    axes = axes if axes is not None else [0] * len(inputs)
    trials = [inputs]
    trials += [tuple(x if a is None else other_batch(x, b, a) for x, a in zip(inputs, axes, strict=True)) for b in batches]
    for arguments in trials:
        wanted = module(*[x.clone() for x in arguments])
        assert_equal(run(*[x.clone() for x in arguments]), wanted, tolerance)
    if gradients:
        assert_same_gradients(module, run, trials[-1], max(tolerance, 1e-5))
    return graph


def assert_equal(got: Any, wanted: Any, tolerance: float) -> None:
    """The same structure, types, shapes and (within a tolerance, absolute and relative) values."""
    got_leaves, got_spec = pytree.tree_flatten(got)
    wanted_leaves, wanted_spec = pytree.tree_flatten(wanted)
    assert got_spec == wanted_spec
    for a, b in zip(got_leaves, wanted_leaves, strict=True):
        if isinstance(b, torch.Tensor):
            torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance, equal_nan=True)
        else:
            assert a == b


def assert_same_gradients(module: nn.Module, run: nn.Module, arguments: Sequence[torch.Tensor], tolerance: float) -> None:
    """Gradients of one weighted sum of all float outputs."""
    gradients = []
    for one in (module, run):
        leaves = [x.clone().requires_grad_() if x.is_floating_point() else x for x in arguments]
        outputs = [y for y in pytree.tree_leaves(one(*leaves)) if isinstance(y, torch.Tensor) and y.requires_grad]
        if not outputs:
            return
        total = sum((y * torch.linspace(0.5, 1.5, y.numel()).reshape(y.shape).to(y.dtype)).sum() for y in outputs)
        wrt = [x for x in leaves if x.requires_grad] + [p for p in module.parameters() if p.requires_grad]
        gradients.append(torch.autograd.grad(total, wrt, allow_unused=True))
    for a, b in zip(*gradients, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance, equal_nan=True)


def op_names(graph: Graph) -> list[str]:
    """The ops of a graph in order."""
    return [node.op.name for node in graph.nodes]
