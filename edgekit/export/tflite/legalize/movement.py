"""Ops that move elements in ways that TFLite has no operator for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from edgekit.export.tflite.layout.arrangers import ELEMENTWISE
from edgekit.export.tflite.legalize.base import Build, Lowering, Skip
from edgekit.export.tflite.legalize.pooling import slice_of
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.graph import infer_types
from edgekit.passes.base import Rewrite


@dataclass(frozen=True)
class LowerRoll(Lowering):
    """A rotation is the end of the axis, then its beginning."""

    kind = ops.Roll

    def lower(self, build: Build, node: Node, op: ops.Roll) -> Value:
        """Axis by axis."""
        y = node.input(0)
        for shift, axis in zip(op.shifts, op.axes, strict=True):
            size = y.type.shape[axis]
            if not isinstance(size, int):
                raise Skip("it rotates the batch")
            if cut := -shift % size:
                parts = [slice_of(build, y, axis, bounds) for bounds in ((cut, size), (0, cut))]
                y = build(ops.Concat(axis), *parts, quant=y.quant)
        return y


@dataclass(frozen=True)
class LowerReplicationPad(Lowering):
    """Padding with the nearest element is a gather with a constant index, axis by axis."""

    kind = ops.Pad

    def lower(self, build: Build, node: Node, op: ops.Pad) -> Value:
        """Other modes have operators."""
        if op.mode != "replicate":
            raise Skip("TFLite's PAD or MIRROR_PAD")
        y = node.input(0)
        for axis, (low, high) in enumerate(op.pads):
            size = y.type.shape[axis]
            if (low, high) == (0, 0):
                continue
            if not isinstance(size, int):
                raise Skip("it pads the batch")
            index = torch.arange(-low, size + high).clamp(0, size - 1)
            y = build(ops.Gather(axis), y, build.tensor(index), quant=y.quant)
        return y


@dataclass(frozen=True)
class MergeSlices(Lowering):
    """A slice of a slice is one slice.

    Given::   %y = slice(%x, rows 0::2)
              %z = slice(%y, columns 0::2)
    Result::  %z = slice(%x, rows 0::2, columns 0::2)
    """

    kind = ops.Slice

    def lower(self, build: Build, node: Node, op: ops.Slice) -> Value:
        """Start a of a step s is element first + a * s of the input; the other way round for the end."""
        inner = node.input(0)
        before = inner.producer
        if before is None or not isinstance(before.op, ops.Slice) or build.graph.readers(inner) > 1:
            raise Skip("not a slice of a slice that only it reads")
        starts, stops, steps = list(before.op.starts), list(before.op.stops), list(before.op.steps)
        for axis, (start, stop, step) in enumerate(zip(op.starts, op.stops, op.steps, strict=True)):
            if (start, step) == (0, 1) and stop == inner.type.shape[axis]:
                continue
            first, last = before.op.starts[axis], before.op.stops[axis]
            if not isinstance(stop, int) or not isinstance(last, int):
                raise Skip("it cuts the batch")
            stride = before.op.steps[axis]
            starts[axis] = first + start * stride
            stops[axis] = min(first + (stop - 1) * stride + 1, last)
            steps[axis] = stride * step
        return build(ops.Slice(tuple(starts), tuple(stops), tuple(steps)), before.input(0))


@dataclass(frozen=True)
class LowerNegativePad(Lowering):
    """Negative padding cuts off."""

    kind = ops.Pad

    def lower(self, build: Build, node: Node, op: ops.Pad) -> Value:
        """A slice, then what padding is left."""
        if all(size >= 0 for pair in op.pads for size in pair):
            raise Skip("it only adds")
        y = node.input(0)
        for axis, (low, high) in enumerate(op.pads):
            size = y.type.shape[axis]
            if low < 0 or high < 0:
                if not isinstance(size, int):
                    raise Skip("it cuts the batch")
                y = slice_of(build, y, axis, (max(-low, 0), size + min(high, 0)))
        left = tuple((max(low, 0), max(high, 0)) for low, high in op.pads)
        return build(op.with_(pads=left), y, quant=y.quant) if any(any(pair) for pair in left) else y


@dataclass(frozen=True)
class DropDropout(Lowering):
    """Dropout does nothing at inference."""

    kind = ops.Dropout

    def lower(self, build: Build, node: Node, op: ops.Dropout) -> Value:
        """The input itself, under the output's name if that is one of the graph's."""
        x = node.input(0)
        return build(ops.Identity(), x, quant=x.quant) if build.graph.is_output(node.output) else x


@dataclass(frozen=True)
class SkipExpand(Rewrite):
    """An expansion that only elementwise ops read is not needed: they broadcast themselves.

    Given::   %e = expand(%x: [N, 1, D], shape=(N, T, D))
              %y = add(%a: [N, T, D], %e)
    Result::  %y = add(%a, %x)
    """

    def match(self, graph: Graph, node: Node) -> bool:
        """Every expansion."""
        return isinstance(node.op, ops.Expand)

    def rewrite(self, graph: Graph, node: Node) -> None:
        """Reader by reader."""
        skipped = 0
        for reader in list(node.output.users):
            if not isinstance(reader.op, ELEMENTWISE):
                continue
            inputs = [node.input(0) if value is node.output else value for value in reader.inputs]
            if infer_types(reader.op, inputs, reader.where) != tuple(output.type for output in reader.outputs):
                continue
            for index, value in enumerate(reader.inputs):
                if value is node.output:
                    graph.set_input(reader, index, node.input(0))
            skipped += 1
        if not skipped:
            raise Skip("its readers need it")
