"""Where the channels of a graph input stand.

PyTorch's images are (N, C, H, W). A graph that came from a channels-last source keeps its inputs as they were, (N, H, W, C),
and turns them around first.
"""

from __future__ import annotations

from edgekit.ir.graph import Node, Value
from edgekit.ir.ops.shape import Permute, Reshape


def channel_axis(value: Value) -> int:
    """1; the last axis of an input of three or more dimensions whose readers all bring that one to the front first."""
    rank = value.type.rank
    return rank - 1 if rank >= 3 and value.users and all(_turns(node) for node in value.users) else 1


def _turns(node: Node) -> bool:
    """The node brings the last axis behind the batch, or adds an axis of size 1 for somebody who does."""
    rank = node.input(0).type.rank
    if isinstance(node.op, Permute):
        return node.op.dims == (0, rank - 1, *range(1, rank - 1))
    if not isinstance(node.op, Reshape) or node.output.type.rank != rank + 1:
        return False
    before = [size for size in node.input(0).shape if size != 1]
    after = [size for size in node.output.shape if size != 1]
    return before == after and bool(node.output.users) and all(_turns(reader) for reader in node.output.users)
