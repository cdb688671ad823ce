"""The smaller graph: parameters sliced, attributes adapted, types inferred again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekit.compress.prune.analysis import Analysis, analyse, name_of
from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.change import Change
from edgekit.compress.prune.coupling import SHRINKS
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Batch, Graph, Value
from edgekit.ir.cloning import clone
from edgekit.ir.types import TensorType
from edgekit.tables import did_you_mean

#: Indices removed: parameter name -> axis -> indices, in the names and indices of the graph before.
Removed = dict[str, dict[int, tuple[int, ...]]]

#: Classes that go: one flag for every atom.
Gone = NDArray[np.bool_]


def remove(graph: Graph, removed: Mapping[str, Mapping[int, Sequence[int]]]) -> Graph:
    """A copy without these channels and without all that is coupled to them; parameters and indices are the graph's.

    The result has been compared with the masked original.

    Raises:
        UsageError: an unknown parameter, axis or index.
        Unsupported: a channel must stay (it reaches an output, say), or none would be left.
        ParityError: the smaller graph does not compute what the masked original does.
    """
    from edgekit.compress.prune.oracle import check

    analysis = analyse(graph)
    gone = gone_with(analysis, removed)
    small = shrink(analysis, gone)
    check(analysis, gone, small)
    return small


def gone_with(analysis: Analysis, removed: Mapping[str, Mapping[int, Sequence[int]]]) -> Gone:
    """The classes of these indices."""
    graph, gone = analysis.graph, np.zeros(len(analysis.root), np.bool_)
    for name, axes in removed.items():
        if name not in graph.state:
            raise UsageError(
                f"no parameter '{name}' to remove channels of", where=graph.name, hint=did_you_mean(name, graph.state)
            )
        value = graph.state[name]
        for axis, indices in axes.items():
            size = value.tensor_shape[axis] if -value.type.rank <= axis < value.type.rank else 0
            if any(not 0 <= i < size for i in indices):
                raise UsageError(
                    f"'{name}' is {value.type}: it has no indices {list(indices)} along axis {axis}",
                    where=name,
                    hint=f"axes from 0 to {value.type.rank - 1}, indices from 0 to below the size of the axis",
                )
            chosen = np.asarray(indices, np.int64)
            if not analysis.free(value, axis)[chosen].all():
                raise Unsupported(
                    f"cannot remove channels of '{name}' along axis {axis}: {analysis.reason(value, axis)}",
                    where=name,
                    hint="leave it out; what a prune by ratio removes, and declines, is in its record",
                )
            gone[analysis.roots(value, axis)[chosen]] = True
    gone = gone[analysis.root]
    for value, axis, roots in analysis.labelled():
        if gone[roots].all():
            names = name_of(graph)
            raise Unsupported(
                f"no channel would be left of '{names[id(value)]}' along axis {axis}",
                where=names[id(value)],
                hint="leave one of those that go together",
            )
    return gone


def removed_by(analysis: Analysis, gone: Gone) -> Removed:
    """What goes of every parameter and buffer, by its first name (and by each further name of a tied one).

    Inputs of which a grouped convolution loses others in every group are in ``removed_of_groups``.
    """
    out: Removed = {}
    for name, value in analysis.graph.state.items():
        rows = analysis.coupling.axes.get(id(value), ())
        axes = {
            axis: tuple(np.flatnonzero(gone[labels]).tolist())
            for axis, labels in enumerate(rows)
            if labels is not None and gone[labels].any()
        }
        if (own := _inputs_gone(analysis, gone, value)) is not None and own.any() and (own == own[0]).all():
            axes[1] = tuple(np.flatnonzero(own[0]).tolist())
        if axes:
            out[name] = axes
    return out


def removed_of_groups(analysis: Analysis, gone: Gone) -> dict[str, list[list[int]]]:
    """For every grouped convolution whose groups lose different inputs: the indices along the weight's axis 1, by group."""
    out = {}
    for name, value in analysis.graph.state.items():
        own = _inputs_gone(analysis, gone, value)
        if own is not None and (own != own[0]).any():
            out[name] = [np.flatnonzero(row).tolist() for row in own]
    return out


def _inputs_gone(analysis: Analysis, gone: Gone, weight: Value) -> NDArray[np.bool_] | None:
    """Which inputs of each group go; None for what is no grouped convolution's weight."""
    if id(weight) not in analysis.coupling.grouped:
        return None
    read, groups = analysis.coupling.grouped[id(weight)]
    return gone[analysis.coupling.axis(read, 1)].reshape(groups, -1)


def shrink(analysis: Analysis, gone: Gone, *, shapes_only: bool = False) -> Graph:
    """The graph without the classes that are gone. ``shapes_only`` leaves the data out: enough to count costs."""
    graph = analysis.graph
    small = clone(graph, _without_data) if shapes_only else graph.copy()
    axes = analysis.coupling.axes

    def kept(value: Value, axis: int) -> Labels:
        rows = axes.get(id(value))
        labels = rows[axis] if rows is not None else None
        if labels is None or not len(labels):
            size = value.type.shape[axis]
            return np.arange(size.multiple if isinstance(size, Batch) else size)
        return np.flatnonzero(~gone[labels])

    for old, new in zip(graph.values(), list(small.values()), strict=True):
        if old.is_constant and (rest := sliced(analysis, gone, old, new.tensor.detach())) is not None:
            _replace(new, rest.contiguous())
    for old_node, node in zip(graph.nodes, list(small.nodes), strict=True):
        touched = [v for v in (*old_node.inputs, *old_node.outputs) if v is not None and _is_thinned(analysis, gone, v)]
        if not touched:
            continue
        change = Change(small, old_node, node, kept)
        if (function := SHRINKS.get(type(old_node.op))) is not None:
            node.op = function(change)
        for before, after in zip(old_node.outputs, node.outputs, strict=True):
            after.type = TensorType(before.type.dtype, change.new_shape(before))
    if not shapes_only:
        small.verify()  # infers the types again
    return small


def _is_thinned(analysis: Analysis, gone: Gone, value: Value) -> bool:
    return any(labels is not None and gone[labels].any() for labels in analysis.coupling.axes.get(id(value), ()))


def sliced(analysis: Analysis, gone: Gone, value: Value, data: torch.Tensor) -> torch.Tensor | None:
    """What is left of a constant; None where that is all of it.

    Args:
        analysis: of the graph.
        gone: what goes.
        value: a constant of the graph.
        data: a tensor of its shape; gradients flow back into it.
    """
    kept = _kept_rows(analysis, gone, value)
    grouped = _inputs_gone(analysis, gone, value)
    if kept is None and (grouped is None or not grouped.any()):
        return None
    if grouped is not None and grouped.any():
        data = _own_inputs(data, grouped)
    for axis, indices in enumerate(kept or ()):
        if indices is not None:
            data = _picked(data, axis, indices)
    return data


def _kept_rows(analysis: Analysis, gone: Gone, value: Value) -> list[Labels | None] | None:
    """Indices that stay along every axis, None for an axis that stays whole; None where all do."""
    rows = analysis.coupling.axes.get(id(value), ())
    kept = [None if row is None or not gone[row].any() else np.flatnonzero(~gone[row]) for row in rows]
    return kept if any(indices is not None for indices in kept) else None


def _picked(data: torch.Tensor, axis: int, indices: Labels) -> torch.Tensor:
    """These indices along an axis; a view where they are the first ones."""
    if len(indices) and indices[-1] == len(indices) - 1:
        return data.narrow(axis, 0, len(indices))
    return data.index_select(axis, torch.from_numpy(indices).to(data.device))


def _own_inputs(data: torch.Tensor, gone: NDArray[np.bool_]) -> torch.Tensor:
    """Each row of a grouped convolution's weight (O, I / groups, *kernel) with the inputs that its own group keeps."""
    own = np.stack([np.flatnonzero(~row) for row in gone])
    rows = np.arange(data.shape[0])
    index = torch.from_numpy(own[rows // (len(rows) // len(gone))])
    return data[torch.from_numpy(rows)[:, None].to(data.device), index.to(data.device)]


def _replace(value: Value, data: torch.Tensor) -> None:
    old = value.tensor
    value.data = nn.Parameter(data, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else data
    value.type = TensorType.of(data)


def _without_data(tensor: torch.Tensor) -> torch.Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
