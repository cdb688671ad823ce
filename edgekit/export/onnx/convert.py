"""A graph becomes an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.errors import Unsupported, UsageError
from edgekit.export.onnx import emitters as _all_emitters  # noqa: F401  (fills the table)
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.protobuf import IR_VERSIONS, serialize
from edgekit.export.onnx.registry import EMITTERS
from edgekit.export.onnx.writer import Tensor
from edgekit.export.refusals import Refusals
from edgekit.export.structure import batch_axis, output_structure
from edgekit.formats.io_metadata import IO_KEY, FileTensor, IoRecord, TensorIo, encode
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.types import Batch, dtype_name

#: What files are written in unless another opset is asked for: the lowest that has LayerNormalization (17), Resize to sizes of
#: the spatial axes alone, and one form for all reductions (18). ONNX Runtime reads it from 1.14 (February 2023) on.
DEFAULT_OPSET = 18


def export(
    graph: Graph,
    *,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    opset: int = DEFAULT_OPSET,
    unsigned: bool = False,
) -> bytes:
    """Writes a graph as one ONNX file, with its constants inside.

    The source's layout, the names of inputs, outputs, values and state, and the batch N stay; inputs and outputs are float
    where the source's are. A graph that carries quantisation is written in the QDQ form with exactly its scales: int8 weights
    and int32 biases behind DequantizeLinear, and QuantizeLinear / DequantizeLinear around each quantised value.

    Args:
        graph: after the exact passes; it is not changed. Values in training form (dropout) are written as in inference.
        name: of the graph in the file; by default the graph's own.
        metadata: further entries for the file's metadata_props, beside the record of inputs and outputs (``edgekit.io/1``); an
            entry of that name replaces it.
        opset: version of ONNX's operators, 18 to 23.
        unsigned: write int8 activations as uint8, with 128 added to the zero point: they stand for the same real numbers.
            ONNX Runtime on x86 computes signed ones in float wherever a value has several readers (residual networks).

    Raises:
        Unsupported: the model has operations or types that ONNX or edgekit's files lack; all of them in one error.
        UsageError: no such opset, or the package onnx is not installed.
    """
    if opset not in IR_VERSIONS:
        known = sorted(IR_VERSIONS)
        raise UsageError(
            f"opset {opset} is not written", hint=f"choose {known[0]} to {known[-1]}; {DEFAULT_OPSET} is the default"
        )
    to = Emission(graph, opset, unsigned=unsigned)
    refusals = Refusals()
    lost: set[int] = set()  # results of refused nodes: what depends on them is no problem of its own
    for node in graph.nodes:
        if any(value is not None and id(value) in lost for value in node.inputs):
            lost.update(id(value) for value in node.outputs)
            _check_known(node, refusals)
            continue
        lost.update(id(value) for value in node.outputs)
        with refusals.at(node):
            _emit(to, node)
            lost.difference_update(id(value) for value in node.outputs)
    refusals.raise_if_any("{count} operations of this model can't be written to an ONNX file")
    taken: set[str] = set()
    outputs: list[tuple[Tensor, Value]] = []
    for value in graph.outputs:
        tensor = to.output(value, taken)
        taken.add(tensor.name)
        outputs.append((tensor, value))
    inputs = list(zip(to.inputs, graph.inputs, strict=True))
    to.settle_names([tensor for tensor, _ in (*inputs, *outputs)])
    record = IoRecord(
        tuple(_describe(tensor, value) for tensor, value in inputs),
        tuple(_describe(tensor, value) for tensor, value in outputs),
        output_structure(graph),
    )
    entries = {IO_KEY: encode(record).decode(), **(metadata or {})}
    return serialize(to, inputs, outputs, values=to.unclear(), name=name or graph.name, opset=opset, metadata=entries)


def _emit(to: Emission, node: Node) -> None:
    """Writes one node and makes its results the tensors of its outputs."""
    to.scope = node.name
    emitter = EMITTERS.get(type(node.op))
    if emitter is None:
        raise _unknown(node)
    results = emitter(to, node, node.op)
    each = results if isinstance(results, tuple) else (results,)
    for value, result in zip(node.outputs, each, strict=True):
        if result is not None:
            to.bind(value, result)


def _check_known(node: Node, refusals: Refusals) -> None:
    """An operation without an emitter is reported even where its inputs could not be written."""
    if type(node.op) not in EMITTERS:
        with refusals.at(node):
            raise _unknown(node)


def _unknown(node: Node) -> Unsupported:
    return Unsupported(
        f"edgekit has no ONNX form of '{node.op.name}'",
        hint="rewrite the layer with supported ops (`edgekit ops`), or add one: docs/adding-an-op.md",
    )


def _describe(tensor: Tensor, value: Value) -> TensorIo:
    shape = tuple(None if isinstance(dim, Batch) else dim for dim in value.type.shape)
    return TensorIo(FileTensor(tensor.name, shape, dtype_name(value.type.dtype)), batch=batch_axis(value))
