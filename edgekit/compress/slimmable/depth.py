"""Residual blocks that may be left out: what is added to a shortcut of its own input and shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value, ops

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
    """Rows of residual blocks, in order: each begins where the one before it ends, but for activations and norms between.

    Where shortcuts lie within shortcuts, the innermost that form a row of several are the blocks: a shortcut around the whole
    trunk (Lim et al., EDSR, arXiv:1707.02921) or around a group of blocks (Zhang et al., RCAN, arXiv:1807.02758) stays. One
    that holds no such row is a block as a whole.
    """
    blocks = [block for block in (_block(graph, node) for node in graph.nodes) if block is not None]
    several = [block for row in _rows(blocks) if len(row) > 1 for block in row]
    blocks = [block for block in blocks if not any(block.holds(other) for other in several)]
    blocks = [block for block in blocks if not any(other.holds(block) for other in blocks)]
    return _rows(blocks)


def _rows(blocks: Sequence[Block]) -> list[list[Block]]:
    """Blocks behind each other that lie within the same others; a row ends where the network forks into several."""
    around = {block: {other for other in blocks if other.holds(block)} for block in blocks}
    ends = {id(block.add): block for block in blocks}
    before: dict[Block, Block] = {}
    for block in blocks:
        last = ends.get(id(_sum_before(block.start)))
        if last is not None and around[last] == around[block]:
            before[block] = last
    forks = Counter(before.values())
    rows: dict[Block, list[Block]] = {}
    for block in blocks:
        last = before.get(block)
        rows[block] = rows[last] if last is not None and forks[last] == 1 else []
        rows[block].append(block)
    return list({id(row): row for row in rows.values()}.values())


def _sum_before(value: Value) -> Node | None:
    """The sum that a value is, or is an activation or a norm of."""
    while (node := value.producer) is not None:
        if isinstance(node.op, ops.Add) and sum(not v.is_constant for v in node.inputs if v is not None) == 2:
            return node
        varying = [v for v in node.inputs if v is not None and not v.is_constant]
        if len(varying) != 1 or varying[0].type != value.type or _is_layer(node):
            return None
        value = varying[0]
    return None


def _block(graph: Graph, node: Node) -> Block | None:
    if not isinstance(node.op, ops.Add) or len(node.inputs) != 2:
        return None
    for at in (0, 1):
        start, branch = node.input(at), node.input(1 - at)
        if start.is_constant or start.type != node.output.type or branch.producer is None or graph.is_output(start):
            continue
        inside = _between(start, branch)
        if inside is not None and any(_is_layer(each) for each in inside):
            return Block(start, node, frozenset(map(id, inside)))
    return None


def _is_layer(node: Node) -> bool:
    """It has weights of two axes or more; activations and norms have none."""
    return any(v is not None and v.is_constant and v.type.rank > 1 for v in node.inputs)


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
