"""Merge zero padding into the convolution that reads it."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.ir import Graph, Node, ops
from edgekit.passes.base import Rewrite, Skip


@dataclass(frozen=True)
class MergePad(Rewrite):
    """Merge a constant zero pad of the spatial dimensions into the padding of the convolution that reads it.

    Given::   %p = pad(%x, pads=((0, 0), (0, 0), (0, 1), (0, 1)))
              %y = conv2d(%p, @w, stride=(2, 2))
    Result::  %y = conv2d(%x, @w, stride=(2, 2), padding=((0, 1), (0, 1)))
    """

    def match(self, graph: Graph, node: Node) -> bool:
        return isinstance(node.op, ops.Conv1d | ops.Conv2d) and _is_pad(node)

    def rewrite(self, graph: Graph, node: Node) -> None:
        pad = node.input(0).producer
        assert pad is not None and isinstance(pad.op, ops.Pad) and isinstance(node.op, ops.Conv1d | ops.Conv2d)
        if pad.op.mode != "constant" or pad.op.value != 0.0:
            raise Skip(f"it pads with {pad.op.mode if pad.op.mode != 'constant' else pad.op.value}, not with zeros")
        if any(pad.op.pads[0]) or any(pad.op.pads[1]):
            raise Skip("it pads the batch or the channels")
        if any(size < 0 for pair in pad.op.pads for size in pair):
            raise Skip("it crops")
        if pad.output.quant != pad.input(0).quant:
            raise Skip(f"%{pad.name} is quantised")
        merged = tuple(
            (low + more_low, high + more_high)
            for (low, high), (more_low, more_high) in zip(node.op.padding, pad.op.pads[2:], strict=True)
        )
        graph.set_input(node, 0, pad.input(0))
        graph.set_op(node, node.op.with_(padding=merged))
        node.where = tuple(dict.fromkeys((*node.where, *pad.where)))


def _is_pad(node: Node) -> bool:
    producer = node.input(0).producer
    return producer is not None and isinstance(producer.op, ops.Pad)
