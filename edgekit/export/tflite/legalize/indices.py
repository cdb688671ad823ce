"""Indices in the type that they are read in."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.ir import Node, Value, ops


@dataclass(frozen=True)
class ArgmaxInRightType(Lowering):
    """ARG_MAX gives int32 as well: TFLite Micro has no other integers, and nothing need be converted.

    Given::   %i = argmax(%x)
              %y = cast(%i, dtype='int32')
    Result::  %y = argmax(%x, dtype='int32')
    """

    kind = ops.Cast

    def lower(self, build: Build, node: Node, op: ops.Cast) -> Value:
        """Where nothing else reads the index."""
        index = node.input(0)
        largest = index.producer
        if op.dtype != "int32" or largest is None or not isinstance(largest.op, ops.Argmax):
            raise Skip("not the type of an index")
        if build.graph.readers(index) > 1:
            raise Skip("the index is read as it is, too")
        return build(largest.op.with_(dtype="int32"), largest.input(0))
