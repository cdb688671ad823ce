"""Residual blocks that may be left out: what is added to a shortcut of its own input and shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.errors import Unsupported
from edgekit.ir import Graph, Node, Value, ops

#: By how much a share of two decimals may be off.
_WRITTEN = 0.005


@dataclass(frozen=True)
class Block:
    """A block adds what it computes of a value to that value: without it, the value goes on as it is."""

    start: Value
    add: Node


def without_last_blocks(graph: Graph, depth: float) -> None:
    """Leaves out, in place, the last residual blocks of every stage: the first ones (`kept`) stay.

    A stage is a row of blocks of one shape. Blocks whose shortcut is a convolution, or whose input is read elsewhere too,
    belong to none and stay.

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
    """Rows of residual blocks, in order: neighbours of one shape."""
    stages: list[list[Block]] = []
    for node in graph.nodes:
        block = _block(graph, node)
        if block is None:
            continue
        last = stages[-1][-1] if stages else None
        if last is not None and last.add.output.type == block.add.output.type:
            stages[-1].append(block)
        else:
            stages.append([block])
    return stages


def _block(graph: Graph, node: Node) -> Block | None:
    if not isinstance(node.op, ops.Add) or len(node.inputs) != 2:
        return None
    for at in (0, 1):
        start, branch = node.input(at), node.input(1 - at)
        if start.is_constant or start.type != node.output.type or branch.producer is None:
            continue
        inside = _between(start, branch)
        if inside is not None and all(id(u) in inside or u is node for u in start.users) and not graph.is_output(start):
            return Block(start, node)
    return None


def _between(start: Value, end: Value) -> set[int] | None:
    """The nodes that compute ``end`` of ``start`` and constants alone, by id; None where it depends on more, or not on it."""
    found: set[int] = set()
    waiting, meets = [end], False
    while waiting:
        value = waiting.pop()
        if value is start:
            meets = True
        elif not value.is_constant:
            if value.producer is None:
                return None
            if id(value.producer) not in found:
                found.add(id(value.producer))
                waiting += [v for v in value.producer.inputs if v is not None]
    return found if meets and found else None
