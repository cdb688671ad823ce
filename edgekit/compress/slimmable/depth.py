"""Residual blocks that may be left out: what is added to a shortcut of its own input and shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value, ops

#: What is a layer of its own where it makes a value of the same shape; smaller values are a gate's.
_LAYERS = (
    *(ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear, ops.Matmul, ops.Attention),
    *(ops.Lstm, ops.Gru, ops.Rnn),
)

#: By how much a share of two decimals may be off.
_WRITTEN = 0.005


@dataclass(frozen=True, eq=False)
class Block:
    """A block adds what it computes of a value to that value: without it, the value goes on as it is.

    Attributes:
        start: the value.
        add: the sum.
        inside: the nodes between, by id.
    """

    start: Value
    add: Node
    inside: frozenset[int]

    def holds(self, other: Block) -> bool:
        """Whether another block lies within what this one computes."""
        return id(other.add) in self.inside


def without_last_blocks(graph: Graph, depth: float) -> None:
    """Leaves out, in place, the last residual blocks of every stage: the first ones (`kept`) stay.

    Stages are `residual_stages`. Blocks whose shortcut is a convolution, or whose input is an output of the graph, belong to
    none and stay.

    Raises:
        Unsupported: the graph has no such block.
    """
    stages = residual_stages(graph)
    if not stages:
        raise Unsupported(
            "no residual blocks to leave out: nothing is added to a shortcut of its own input",
            where=graph.name,
            hint="depths = [1.0], and widths alone",
        )
    for blocks in stages:
        for block in blocks[kept(depth, len(blocks)) :][::-1]:
            graph.replace(block.add.output, block.start)
    graph.eliminate_dead()
    graph.sort()


def kept(depth: float, blocks: int) -> int:
    """How many of so many blocks stay: ceil(depth blocks), and 2 of 3 where two thirds are written as 0.67."""
    return max(math.ceil(depth * blocks - _WRITTEN * blocks - 1e-9), 1)


def residual_stages(graph: Graph) -> list[list[Block]]:
    """Rows of residual blocks, in order: each begins where the one before it ends, but for what is no layer.

    Where shortcuts lie within shortcuts, the innermost that form a row of several are the blocks: a shortcut around the whole
    trunk (Lim et al., EDSR, arXiv:1707.02921) or around a group of blocks (Zhang et al., RCAN, arXiv:1807.02758) stays. One
    that holds no such row is a block as a whole.
    """
    blocks = [block for block in (_block(graph, node) for node in graph.nodes) if block is not None]
    several = [block for row in _rows(graph, blocks) if len(row) > 1 for block in row]
    blocks = [block for block in blocks if not any(block.holds(other) for other in several)]
    blocks = [block for block in blocks if not any(other.holds(block) for other in blocks)]
    return _rows(graph, blocks)


def _rows(graph: Graph, blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks behind each other that lie within the same others; a row ends where the network forks into several."""
    around = {block: {other for other in blocks if other.holds(block)} for block in blocks}
    ends = {id(block.add): block for block in blocks}
    place = {id(node): number for number, node in enumerate(graph.nodes)}
    before: dict[Block, Block] = {}
    for block in blocks:
        last = _end_before(block.start, ends, place)
        if last is not None and around[last] == around[block]:
            before[block] = last
    forks = Counter(before.values())
    rows: dict[Block, list[Block]] = {}
    for block in blocks:
        last = before.get(block)
        rows[block] = rows[last] if last is not None and forks[last] == 1 else []
        rows[block].append(block)
    return list({id(row): row for row in rows.values()}.values())


def _end_before(value: Value, ends: Mapping[int, Block], place: Mapping[int, int]) -> Block | None:
    """The block whose sum a value is made of alone, by activations, norms, scales and gates, which leave its shape as it is.

    Walks back in the order of the nodes. Where all that is left to explain is one value, the network passes through it.

    Args:
        value: where another block may begin.
        ends: blocks by their sums' id.
        place: of every node in the graph's order.
    """
    waiting = {id(value): value}
    while waiting:
        if len(waiting) == 1:
            (only,) = waiting.values()
            if only.type != value.type:
                return None
            if id(only.producer) in ends:
                return ends[id(only.producer)]
        made_by = [v.producer for v in waiting.values() if v.producer is not None]
        if len(made_by) < len(waiting):
            return None
        latest = max(made_by, key=lambda node: place[id(node)])
        if isinstance(latest.op, _LAYERS) and latest.output.type == value.type:
            return None
        for made in latest.outputs:
            waiting.pop(id(made), None)
        waiting |= {id(v): v for v in latest.inputs if v is not None and not v.is_constant}
    return None


def _block(graph: Graph, node: Node) -> Block | None:
    if not isinstance(node.op, ops.Add) or len(node.inputs) != 2:
        return None
    for at in (0, 1):
        start, branch = node.input(at), node.input(1 - at)
        if start.is_constant or start.type != node.output.type or branch.producer is None or graph.is_output(start):
            continue
        inside = _between(start, branch)
        if inside is not None and any(_learns(each) for each in inside):
            return Block(start, node, frozenset(map(id, inside)))
    return None


def _learns(node: Node) -> bool:
    """It has weights, if only a norm's: a sum within an activation that is written out is no block."""
    return any(v is not None and v.is_constant and v.type.numel() > 1 for v in node.inputs)


def _between(start: Value, end: Value) -> list[Node] | None:
    """The nodes that compute ``end`` of ``start`` and constants alone; None where it depends on more, or not on it."""
    found: dict[int, Node] = {}
    waiting, meets = [end], False
    while waiting:
        value = waiting.pop()
        if value is start:
            meets = True
        elif not value.is_constant:
            if value.producer is None:
                return None
            if id(value.producer) not in found:
                found[id(value.producer)] = value.producer
                waiting += [v for v in value.producer.inputs if v is not None]
    return list(found.values()) if meets and found else None
