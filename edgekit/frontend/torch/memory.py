"""Values of traced nodes, and in-place changes: a change of a tensor is a change of every view of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import torch
from torch import fx

from edgekit.frontend.torch.context import Lowering, axis_of
from edgekit.frontend.torch.lowerings import reshape, select
from edgekit.frontend.torch.lowerings.elementwise import to
from edgekit.frontend.torch.table import lowerings, op_name
from edgekit.ir import Value, ops

_SAME_ORDER = (reshape.reshape, reshape.same, to)
_PERMUTED = (reshape.permute, reshape.transpose, reshape.t, reshape.movedim)
_SPLITS = (select.split, select.split_with_sizes, select.chunk, select.tensor_split)


class Memory:
    """What each traced node holds.

    Nodes that share memory (views, in-place ops) form a tree by ``parent``. A write to one node writes its parents, and makes
    all other nodes of the tree stale: they are lowered again when they are next read. So a read sees what the source would see.

    Args:
        relower: lowers a traced node again, with the present values of its arguments.
    """

    def __init__(self, relower: Callable[[fx.Node], Any]) -> None:
        self._relower = relower
        self._values: dict[fx.Node, Any] = {}
        self._parent: dict[fx.Node, fx.Node] = {}
        self._in_place: set[fx.Node] = set()
        self._writes: dict[fx.Node, int] = {}  # root -> number of writes
        self._seen: dict[fx.Node, int] = {}  # node -> writes to its root that its value contains
        self.written: list[fx.Node] = []  # roots

    def __contains__(self, node: fx.Node) -> bool:
        return node in self._values

    def hold(self, node: fx.Node, value: Any) -> None:
        """The value of a node that has just been lowered."""
        self._values[node] = value
        source = next((a for a in node.args if isinstance(a, fx.Node)), None)
        if source is not None and self._shares(node, source):
            self._parent[node] = source
        self._seen[node] = self._writes.get(self._root(node), 0)

    def read(self, node: fx.Node) -> Any:
        """The present value of a node."""
        written = self._writes.get(self._root(node), 0)
        if self._seen[node] < written:
            parent = self._parent[node]
            self._values[node] = self.read(parent) if node in self._in_place else self._relower(node)
            self._seen[node] = written
        return self._values[node]

    def write(self, ctx: Lowering, node: fx.Node, target: fx.Node, value: Value) -> None:
        """``node`` has changed ``target`` in place to ``value``."""
        chain = [target]
        while chain[-1] in self._parent:
            chain.append(self._parent[chain[-1]])
        before = {id(n): self.read(n) for n in chain}
        changed: list[tuple[fx.Node, Value]] = []
        for child, parent in zip(chain, [*chain[1:], None], strict=True):
            if isinstance(before[id(child)], tuple):
                continue  # a split: its parts are written into what was split
            changed.append((child, value))
            if parent is not None:
                whole = before[id(parent)]
                whole = before[id(self._parent[parent])] if isinstance(whole, tuple) else whole
                value = self._write_back(ctx, child, parent, whole, value)
        root = chain[-1]
        count = self._writes[root] = self._writes.get(root, 0) + 1
        self.written.append(root)
        for changed_node, new in [*changed, (node, changed[0][1])]:
            self._values[changed_node], self._seen[changed_node] = new, count
        self._in_place.add(node)
        self._parent[node] = target

    # ------------------------------------------------------------------ views

    def _root(self, node: fx.Node) -> fx.Node:
        while node in self._parent:
            node = self._parent[node]
        return node

    def _shares(self, node: fx.Node, source: fx.Node) -> bool:
        if isinstance(source.meta.get("val"), tuple | list):  # the results of a split are views, those of an LSTM are not
            return source in self._parent
        ours, theirs = _storages(node), _storages(source)
        return bool(ours) and bool(theirs) and ours <= theirs

    def _write_back(self, ctx: Lowering, child: fx.Node, parent: fx.Node, whole: Value, part: Value) -> Value:
        """The whole of which ``child`` shows a part, with that part replaced."""
        if child in self._in_place:
            return part
        target: Any = parent.target if isinstance(parent.meta["val"], tuple | list) else child.target
        lowering = lowerings().get(target)
        if lowering in _SAME_ORDER and part.type.dtype == whole.type.dtype:
            return ctx.reshape(part, whole.shape)
        if lowering in _PERMUTED:
            return ctx.permute(part, _inverse(_order(child, whole.type.rank)))
        region = _region(child, parent, lowering, whole, part)
        if region is None:
            raise ctx.refused(
                f"'{op_name(ctx.node.target)}' changes a view in place that '{op_name(child.target)}' made",
                "compute a new tensor instead (x = x * 2, torch.where, torch.cat)",
            )
        axis, start, stop = region
        if stop == -1:
            return part
        size = whole.tensor_shape[axis]
        middle = ctx.reshape(part, (*whole.shape[:axis], stop - start, *whole.shape[axis + 1 :]))
        pieces = [ctx.slice(whole, axis, 0, start)] if start else []
        pieces.append(middle)
        if stop < size:
            pieces.append(ctx.slice(whole, axis, stop, size))
        return middle if len(pieces) == 1 else ctx.add(ops.Concat(axis=axis), *pieces)


def _storages(node: fx.Node) -> set[int]:
    """What identifies the memory behind a node's tensors."""
    value = node.meta.get("val")
    tensors = value if isinstance(value, tuple | list) else [value]
    return {t.untyped_storage()._cdata for t in tensors if isinstance(t, torch.Tensor)}


def _region(child: fx.Node, parent: fx.Node, lowering: Any, whole: Value, part: Value) -> tuple[int, int, int] | None:
    """(axis, start, stop) of the part of ``whole`` that ``child`` shows; stop -1: all of it; None: no fixed range."""
    arguments = list(child.args[1:])
    if lowering in _SPLITS or lowering is select.unbind:
        index, axis = int(child.args[1]), axis_of(_argument(parent, "dim", 0), whole.type.rank)  # type: ignore[arg-type]
        if lowering is select.unbind:
            return axis, index, index + 1
        sizes = [part.shape[axis] for part in parent.meta["val"]]
        stops = list(accumulate(sizes))
        return axis, stops[index] - sizes[index], stops[index]
    if lowering is select.select:
        axis = axis_of(int(arguments[0]), whole.type.rank)  # type: ignore[arg-type]
        size = whole.shape[axis]
        if not isinstance(size, int) or not isinstance(arguments[1], int):
            return None
        start = axis_of(arguments[1], size)
        return axis, start, start + 1
    if lowering is select.slice_ or lowering is select.narrow:
        axis = axis_of(_argument(child, "dim", 0), whole.type.rank)
        size = whole.shape[axis]
        if size == part.shape[axis]:
            return axis, 0, -1
        start = _argument(child, "start", 0) or 0
        if not isinstance(size, int) or not isinstance(start, int) or _argument(child, "step", 1) != 1:
            return None
        start = min(axis_of(start, size), size)
        return axis, start, start + int(child.meta["val"].shape[axis])
    return None


def _argument(node: fx.Node, name: str, default: Any) -> Any:
    """An argument of a node by its schema's name."""
    for position, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if argument.name == name:
            return node.args[position] if position < len(node.args) else node.kwargs.get(name, default)
    return default


def _order(node: fx.Node, rank: int) -> list[int]:
    """The permutation that a view applies, seen on a tensor whose dimensions all differ."""
    probe = torch.empty(tuple(range(2, 2 + rank)), device="meta")
    return [size - 2 for size in node.target(probe, *node.args[1:], **node.kwargs).shape]  # type: ignore[operator]


def _inverse(order: list[int]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]
