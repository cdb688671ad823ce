"""The smaller graph against its masked original: both must give the same outputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.removal import Gone
from edgekit.errors import ParityError
from edgekit.ir import Graph, Value, ops
from edgekit.ir.cloning import clone
from edgekit.ir.ops.base import as_tuple
from edgekit.ir.types import where_text

#: Largest difference, relative to the largest output. Both sides run in double precision.
TOLERANCE = 1e-5

#: MACs above which one sample is compared instead of two.
_LARGE = 100_000_000

#: Ops whose result depends on how many channels there are: the original runs them on those that stay.
STATISTICS = (ops.Mean, ops.Amax, ops.Amin, ops.LayerNorm, ops.RmsNorm, ops.GroupNorm)


def check(analysis: Analysis, gone: Gone, small: Graph, *, seed: int = 0) -> float:
    """The largest difference of an output from the masked original's, relative to its largest element.

    The masked original is the graph that was given, at full size: what goes is zero in every weight and in every value that
    is computed, so that nothing arrives from it (not even what relu makes of a bias). Norms and means over channels take
    their statistics from those that stay.

    Raises:
        ParityError: a difference above ``TOLERANCE``: the smaller graph is wrong.
    """
    inputs = example(analysis.graph, 2 if analysis.graph.macs < _LARGE else 1, seed)
    with torch.no_grad():
        wanted = masked(analysis, gone, inputs)
        got = in_double(small).module().eval().run([_double(x) for x in inputs])
    worst = 0.0
    for value, a, b in zip(analysis.graph.outputs, wanted, got, strict=True):
        error = difference(a, b)
        if not error <= TOLERANCE:
            raise ParityError(
                f"pruning would change output '{value.name}' by {error:.2g} of its size against the masked original",
                where=where_text(value.producer.where) if value.producer else None,
                hint="this is a bug in edgekit: nothing was pruned; please report the model's structure",
            )
        worst = max(worst, error)
    return worst


def masked(analysis: Analysis, gone: Gone, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Outputs of the original with what goes masked, in double precision."""
    graph = analysis.graph
    wide = in_double(graph)
    old_of = {id(new): old for old, new in zip(graph.values(), wide.values(), strict=True)}
    for value in wide.constants():
        data = _zeroed(analysis, gone, old_of[id(value)], value.tensor.detach())
        value.data = nn.Parameter(data, requires_grad=False) if value.is_trainable else data
    seen: dict[int, torch.Tensor] = {}

    def observe(value: Value, tensor: torch.Tensor) -> torch.Tensor:
        old = old_of[id(value)]
        if value.producer is not None and isinstance(value.producer.op, STATISTICS):
            tensor = _of_those_that_stay(analysis, gone, old, value, seen)
        seen[id(value)] = _zeroed(analysis, gone, old, tensor)
        return seen[id(value)]

    return wide.module().eval().run([_double(x) for x in inputs], observe)


def example(graph: Graph, batch: int, seed: int) -> list[torch.Tensor]:
    """Standard normal floats and small integers for every input."""
    generator = torch.Generator().manual_seed(seed)
    out = []
    for value in graph.inputs:
        shape, dtype = value.type.at(batch), value.type.dtype
        if dtype.is_floating_point:
            out.append(torch.randn(shape, generator=generator).to(dtype))
        else:
            out.append(torch.randint(0, 2, shape, generator=generator).to(dtype))
    return out


def _of_those_that_stay(
    analysis: Analysis, gone: Gone, old: Value, value: Value, seen: dict[int, torch.Tensor]
) -> torch.Tensor:
    """The node's result on the channels that stay, at the places that they have in the original."""
    node, wide = old.producer, value.producer
    assert node is not None and wide is not None
    arguments: list[torch.Tensor | None] = []
    for before, after in zip(node.inputs, wide.inputs, strict=True):
        if before is None or after is None:
            arguments.append(None)
            continue
        tensor = after.tensor if after.is_constant else seen[id(after)]
        for axis, labels in enumerate(analysis.coupling.axes.get(id(before), ())):
            if labels is not None and gone[labels].any():
                tensor = tensor.index_select(axis, torch.from_numpy(np.flatnonzero(~gone[labels])))
        arguments.append(tensor)
    op = node.op
    if isinstance(op, ops.GroupNorm) and op.groups == node.input(0).tensor_shape[1]:
        assert arguments[0] is not None
        op = op.with_(groups=arguments[0].shape[1])
    (result,) = as_tuple(op.run(*arguments))
    for axis, labels in enumerate(analysis.coupling.axes[id(old)]):
        if labels is not None and gone[labels].any():
            size = list(result.shape)
            size[axis] = len(labels)
            full = result.new_zeros(size)
            result = full.index_copy(axis, torch.from_numpy(np.flatnonzero(~gone[labels])), result)
    return result


def _zeroed(analysis: Analysis, gone: Gone, value: Value, tensor: torch.Tensor) -> torch.Tensor:
    """Zero at all indices that go; what is infinite or undefined there does not matter."""
    for axis, labels in enumerate(analysis.coupling.axes.get(id(value), ())):
        if labels is not None and gone[labels].any():
            goes = np.tile(gone[labels], tensor.shape[axis] // len(labels))  # once for every sample of a batch axis
            tensor = tensor.index_fill(axis, torch.from_numpy(np.flatnonzero(goes)), 0)
    return tensor


def in_double(graph: Graph) -> Graph:
    """A copy in double precision, so that differences are errors and not rounding."""
    wide = clone(
        graph, lambda t: nn.Parameter(_double(t.detach()), requires_grad=False) if isinstance(t, nn.Parameter) else _double(t)
    )
    for node in wide.nodes:
        if isinstance(node.op, ops.Cast) and node.op.dtype in ("float32", "float16", "bfloat16"):
            node.op = node.op.with_(dtype="float64")
    return wide


def _double(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def difference(wanted: torch.Tensor, got: torch.Tensor) -> float:
    """Relative to the largest finite element; infinite where shapes or undefined elements differ."""
    if wanted.shape != got.shape:
        return float("inf")
    if not wanted.is_floating_point():
        return 0.0 if torch.equal(wanted, got) else float("inf")
    finite = torch.isfinite(wanted)
    if not torch.equal(finite, torch.isfinite(got)):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = max(float(wanted[finite].abs().max()), 1e-12)
    return float((wanted[finite] - got[finite]).abs().max()) / scale
