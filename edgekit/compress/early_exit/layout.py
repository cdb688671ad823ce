"""Along which axis a value has its features: what a head averages over are the others."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit.ir import Graph, Node, Value, ops

#: For each axis of a value met on the way, which axis of the value that was asked about it is.
_Axes = tuple[int | None, ...]

_LAST = (ops.Linear, ops.Lstm, ops.Gru, ops.Rnn, ops.LayerNorm, ops.RmsNorm, ops.Attention, ops.Matmul)
_SECOND = (
    *(ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d),
    *(ops.MaxPool1d, ops.MaxPool2d, ops.AvgPool1d, ops.AvgPool2d, ops.AdaptiveAvgPool2d, ops.AdaptiveMaxPool2d),
    *(ops.BatchNorm, ops.GroupNorm, ops.InstanceNorm),
)


def features_axis(value: Value) -> int:
    """The axis of features of (N, ., .) or (N, ., ., .), by the nearest op before or behind it that says so; else 1.

    What says so without a permutation in between counts first, before ahead of behind: where axes are permuted, another one
    is mixed, as the tokens of an MLP-Mixer are.
    """
    before = [(axis, turned) for axis, turned in _says_before(value) if axis]
    behind = [(axis, turned) for axis, turned in _says_behind(value) if axis]
    straight = [axis for axis, turned in (*before, *behind) if not turned]
    return next(iter((*straight, *(axis for axis, _ in (*before, *behind)))), 1)


def channels_first(graph: Graph, value: Value, name: str) -> Value:
    """A value (N, features, ...) for ops that want it so: the value itself, or what a new permutation makes of it."""
    axis = features_axis(value)
    if axis == 1:
        return value
    rest = [other for other in range(1, value.type.rank) if other != axis]
    return graph.add(ops.Permute((0, axis, *rest)), value, name=f"{name}.channels_first")


def _says_before(value: Value) -> Iterator[tuple[int | None, bool]]:
    """What the ops that made a value say, the nearest first, and whether axes were moved in between."""
    waiting: list[tuple[Value, _Axes, bool]] = [(value, tuple(range(value.type.rank)), False)]
    met = {id(value)}
    while waiting:
        here, axes, turned = waiting.pop(0)
        node = here.producer
        if node is None:
            continue
        if (said := _along(node, here)) is not None:
            yield axes[said], turned
            continue
        for read in node.inputs:
            if read is None or read.is_constant or id(read) in met:
                continue
            through = _backward(node, read, axes)
            if through is not None:
                met.add(id(read))
                waiting.append((read, through, turned or isinstance(node.op, ops.Permute)))


def _says_behind(value: Value) -> Iterator[tuple[int | None, bool]]:
    """The same of what reads it, through ops that keep the shape."""
    waiting: list[tuple[Value, _Axes, bool]] = [(value, tuple(range(value.type.rank)), False)]
    met = {id(value)}
    while waiting:
        here, axes, turned = waiting.pop(0)
        for reader in here.users:
            if (said := _of_input(reader, here)) is not None:
                yield axes[said], turned
                continue
            for made in reader.outputs:
                through = None if id(made) in met else _forward(reader, here, made, axes)
                if through is not None:
                    met.add(id(made))
                    waiting.append((made, through, turned or isinstance(reader.op, ops.Permute)))


def _of_input(node: Node, value: Value) -> int | None:
    """The axis of features of what a node reads, where its op says so; a mean leaves features alone."""
    if isinstance(node.op, ops.Mean | ops.Amax):
        left = [axis for axis in range(value.type.rank) if axis not in node.op.axes]
        return left[1] if len(left) == 2 and left[0] == 0 else None
    return None if _is_embedding(node) else _along(node, value)


def _along(node: Node, value: Value) -> int | None:
    """The same of what it makes."""
    if isinstance(node.op, ops.LayerNorm | ops.RmsNorm) and node.op.axes > 1:
        return None
    if isinstance(node.op, _LAST) or _is_embedding(node):
        return value.type.rank - 1
    return 1 if isinstance(node.op, _SECOND) else None


def _is_embedding(node: Node) -> bool:
    table = node.inputs[0] if isinstance(node.op, ops.Gather) else None
    return table is not None and table.is_constant and table.type.rank == 2


def _backward(node: Node, read: Value, axes: _Axes) -> _Axes | None:
    """The axes of what a node reads; None where they can't be followed."""
    if isinstance(node.op, ops.Permute):
        places = {dim: axes[place] for place, dim in enumerate(node.op.dims)}
        return tuple(places[dim] for dim in range(len(axes)))
    if isinstance(node.op, ops.Reshape):
        return _regrouped(node.output, axes, read)
    return axes if read.type.rank == len(axes) else None


def _forward(node: Node, value: Value, made: Value, axes: _Axes) -> _Axes | None:
    """The axes of what a node makes of a value, likewise."""
    if isinstance(node.op, ops.Permute):
        return tuple(axes[dim] for dim in node.op.dims)
    if isinstance(node.op, ops.Reshape):
        return _regrouped(value, axes, made)
    return axes if made.type.shape == value.type.shape else None


def _regrouped(known: Value, axes: _Axes, other: Value) -> _Axes:
    """Axes of the other shape of the same elements: the first and last ones that both have."""
    mine, theirs = known.type.shape, other.type.shape
    found: list[int | None] = [None] * len(theirs)
    least, begin, end = min(len(mine), len(theirs)), 0, 0
    while begin < least and mine[begin] == theirs[begin]:
        found[begin] = axes[begin]
        begin += 1
    while begin + end < least and mine[-1 - end] == theirs[-1 - end]:
        found[-1 - end] = axes[-1 - end]
        end += 1
    return tuple(found)
