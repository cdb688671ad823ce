"""The graph executed as the integer artifact executes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from edgekit.errors import EdgekitError, Unsupported
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.integer.nodes import KERNELS, Call
from edgekit.ir.module import batch_size_of
from edgekit.ir.ops import Identity
from edgekit.ir.ops.base import as_tuple
from edgekit.ir.quantized_data import dequantize, quantize, quantize_constant, storage_dtype
from edgekit.ir.types import Batch, where_text

#: Called with a value of the graph and what it holds.
Observer = Callable[[Value, torch.Tensor], None]


class Simulator:
    """A quantised graph in integer arithmetic, equal in every bit to LiteRT's reference kernels.

    Values that carry ``quant`` are integers of its type, all others what they are in the graph. A node whose float values are
    quantised runs as an integer kernel with its fused activation; ``identity`` at a border quantises, dequantises or
    requantises as the operators QUANTIZE and DEQUANTIZE do. Float nodes run as in ``graph.module()``: there the runtime's
    sums may differ in the last bits, and an integer after such an island by one. Weights that carry ``quant`` beside float
    activations (dynamic range) are used as their dequantised values.

    The constants' integers are computed once; the simulator sees no later change of the graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._integer = [_is_integer(node) for node in graph.nodes]
        #: By (id of the value, whether an integer node reads it).
        self._constants: dict[tuple[int, bool], torch.Tensor] = {}
        for node, integer in zip(graph.nodes, self._integer, strict=True):
            self._read_constants(node.inputs, integer, where_text(node.where))
        self._read_constants(graph.outputs, True, "an output of the graph")
        self._last = _last_readers(graph)

    def _read_constants(self, values: Sequence[Value | None], integer: bool, where: str) -> None:
        for value in values:
            if value is None or value.data is None or (id(value), integer) in self._constants:
                continue
            data = value.data.detach().cpu()
            if value.quant is not None:
                try:
                    data = quantize_constant(data, value.quant)
                except EdgekitError as error:
                    error.where = error.where or f"@{value.name}, {where}"
                    raise
                data = data if integer else dequantize(data, value.quant)
            self._constants[id(value), integer] = data

    @torch.no_grad()
    def run(self, inputs: Sequence[torch.Tensor], observe: Observer | None = None) -> list[torch.Tensor]:
        """Graph inputs in, graph outputs out, as integers where they carry ``quant``.

        An input that carries ``quant`` is given as its integers or as float32, which is quantised rounding half to even
        (``quantized_data.quantize``), as ``edgekit.run`` feeds an integer artifact. ``observe`` is called with every input
        and every computed value (not with constants).

        Raises:
            ValueError: a shape does not fit the graph.
            Unsupported: a quantised node has no integer kernel here, or parameters that the runtime refuses; its place is in
                the error.
        """
        graph = self.graph
        batch = batch_size_of(graph, inputs)
        held: dict[int, torch.Tensor] = {}
        for value, given in zip(graph.inputs, inputs, strict=True):
            tensor = given.detach().cpu()
            if value.quant is not None and tensor.dtype != storage_dtype(value.quant):
                tensor = quantize(tensor, value.quant)
            held[id(value)] = tensor
            if observe is not None:
                observe(value, tensor)
        for index, (node, integer) in enumerate(zip(graph.nodes, self._integer, strict=True)):
            tensors = tuple(self._read(v, held, integer) for v in node.inputs)
            results = _run_integer(node, tensors, batch) if integer else _run_float(node, tensors, batch)
            for value, result in zip(node.outputs, results, strict=True):
                held[id(value)] = result
                if observe is not None:
                    observe(value, result)
            for key in self._last[index]:
                del held[key]
        return [held[id(value)] if value.data is None else self._constants[id(value), True] for value in graph.outputs]

    def _read(self, value: Value | None, held: dict[int, torch.Tensor], integer: bool) -> torch.Tensor | None:
        if value is None:
            return None
        return held[id(value)] if value.data is None else self._constants[id(value), integer]


def simulate(graph: Graph, *args: Any, samples: int = 32, **kwargs: Any) -> Any:
    """Runs a quantised graph as LiteRT's reference kernels do: the source's arguments in, float32 in the source's structure
    out.

    ``samples`` at a time go through the network where every input and output has its batch first. For integers and intermediate
    values, see ``Simulator``.

    Raises:
        TypeError: arguments that the source does not take.
        ValueError: a shape that does not fit the graph.
        Unsupported: a quantised node without an integer kernel; its place is in the error.
    """
    signature = graph.signature
    if signature is not None:
        inputs = signature.flatten(args, kwargs)
    elif kwargs or len(args) != len(graph.inputs):
        raise TypeError(f"this graph takes {len(graph.inputs)} positional tensors")
    else:
        inputs = list(args)
    simulator = Simulator(graph)
    parts = [simulator.run(part) for part in _parts(graph, inputs, samples)]
    whole = [column[0] if len(column) == 1 else torch.cat(column) for column in zip(*parts, strict=True)]
    floats = [y if v.quant is None else dequantize(y, v.quant) for v, y in zip(graph.outputs, whole, strict=True)]
    if signature is not None:
        return signature.unflatten(floats)
    return floats[0] if len(floats) == 1 else tuple(floats)


def _parts(graph: Graph, inputs: list[torch.Tensor], samples: int) -> list[list[torch.Tensor]]:
    """The inputs in pieces of ``samples`` samples, or whole where a value does not have its batch first and only there."""
    batch = batch_size_of(graph, inputs)
    for value in (*graph.inputs, *graph.outputs):
        places = [axis for axis, dim in enumerate(value.shape) if isinstance(dim, Batch)]
        if places != [0]:
            return [inputs]
    multiples = [value.shape[0].multiple for value in graph.inputs]
    return [
        [tensor[k * start : k * (start + samples)] for tensor, k in zip(inputs, multiples, strict=True)]
        for start in range(0, batch, samples)
    ]


def _is_integer(node: Node) -> bool:
    """Whether a node is executed in integers: an activation that it reads or makes is quantised."""
    activations = [v for v in (*node.inputs, *node.outputs) if v is not None and not v.is_constant and v.type.is_float]
    if isinstance(node.op, Identity):
        return any(v.quant is not None for v in activations)
    quantised = [v.quant is not None for v in activations]
    if any(quantised) and not all(quantised):
        raise ValueError(f"%{node.name} has quantised and float activations: only 'identity' may stand at a border")
    return any(quantised)


def _run_float(node: Node, tensors: tuple[torch.Tensor | None, ...], batch: int) -> tuple[torch.Tensor, ...]:
    with torch.autocast("cpu", enabled=False):  # the artifact's floats have 32 bits, whatever the caller computes in
        return as_tuple(node.op.at(batch).run(*tensors))


def _run_integer(node: Node, tensors: tuple[torch.Tensor | None, ...], batch: int) -> tuple[torch.Tensor, ...]:
    kernel = KERNELS.get(type(node.op))
    if kernel is None:
        raise Unsupported(
            f"no integer simulation of '{node.op.name}'",
            where=where_text(node.where),
            hint="leave the operator in float, or add a kernel under edgekit/ir/integer/nodes",
        )
    quants = tuple(None if v is None else v.quant for v in node.inputs)
    try:
        return as_tuple(kernel(Call(node.op.at(batch), tensors, quants, tuple(v.quant for v in node.outputs))))
    except EdgekitError as error:
        error.where = error.where or where_text(node.where)
        raise


def _last_readers(graph: Graph) -> list[list[int]]:
    """For each node, the values (by id) that nothing reads after it."""
    keep = {id(v) for v in graph.outputs} | {id(v) for v in graph.constants()}
    last = {id(v): index for index, node in enumerate(graph.nodes) for v in (*node.inputs, *node.outputs) if v is not None}
    free: list[list[int]] = [[] for _ in graph.nodes]
    for key, index in last.items():
        if key not in keep:
            free[index].append(key)
    return free
