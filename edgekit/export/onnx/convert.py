"""A graph becomes an ONNX file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from edgekit.errors import Unsupported, UsageError
from edgekit.export.exit_record import exit_rates
from edgekit.export.onnx import emitters as _all_emitters  # noqa: F401  (fills the table)
from edgekit.export.onnx.element_types import SINCE
from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.protobuf import IR_VERSIONS, serialize
from edgekit.export.onnx.registry import EMITTERS
from edgekit.export.onnx.writer import Tensor
from edgekit.export.refusals import Refusals
from edgekit.export.structure import batch_axis, output_structure
from edgekit.formats.exit_rates import EXITS_KEY
from edgekit.formats.io_metadata import IO_KEY, FileTensor, IoRecord, Preprocessing, TensorIo, encode
from edgekit.formats.stream_record import STREAM_KEY
from edgekit.ir import ops
from edgekit.ir.exits import exit_plan
from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.types import Batch, dtype_name

#: What files are written in where nothing needs more: the lowest opset that has LayerNormalization (17), Resize to sizes of the
#: spatial axes alone, and one form for all reductions (18). ONNX Runtime reads it from 1.14 (February 2023) on.
LOWEST_OPSET = 18

#: Ops that later opsets have as one operator. Written as several, Gelu is not recognised by ONNX Runtime behind integers.
_NEEDS: dict[type[ops.Op], int] = {ops.Gelu: 20}


def lowest_opset(graph: Graph) -> int:
    """The lowest opset that has each op and each type of a graph in its best form.

    It is 18, or 20 (ONNX Runtime 1.17, January 2024) for Gelu, 21 (1.20, November 2024) for 4-bit and 16-bit integers.
    """
    needed = [_NEEDS.get(type(node.op), 0) for node in graph.nodes]
    return max([LOWEST_OPSET, *needed, *(SINCE.get(dtype, 0) for dtype in _held(graph))])


def _held(graph: Graph) -> set[str]:
    """The quantised types of a graph."""
    return {value.quant.dtype for value in graph.values() if value.quant is not None}


def export(
    graph: Graph,
    *,
    name: str | None = None,
    metadata: Mapping[str, str] | None = None,
    opset: int | None = None,
    preprocessing: Mapping[str, Preprocessing] | None = None,
    unsigned: bool = False,
    float16: bool = False,
) -> bytes:
    """Writes a graph as one ONNX file, with its constants inside.

    The source's layout, the names of inputs, outputs, values and state, and the batch N stay (a file with early exits has batch
    1: its If decides for a whole call); inputs and outputs are float
    where the source's are. A graph that carries quantisation is written in the QDQ form with exactly its scales: int8 weights
    and int32 biases behind DequantizeLinear, and QuantizeLinear / DequantizeLinear around each quantised value.

    Args:
        graph: after the exact passes; it is not changed. Values in training form (dropout) are written as in inference.
        name: of the graph in the file; by default the graph's own.
        metadata: further entries for the file's metadata_props, beside the record of inputs and outputs (``edgekit.io/1``); an
            entry of that name replaces it.
        opset: version of ONNX's operators, 18 to 23; by default the lowest that has each op in its best form.
        preprocessing: what the graph itself does to raw input, by name of the input, for the file's record.
        unsigned: write int8 activations as uint8, with 128 added to the zero point: they stand for the same real numbers.
            ONNX Runtime on x86 computes signed ones in float wherever a value has several readers (residual networks).
        float16: store large float constants in 16 bits; the runtime expands them when it loads the file.

    Raises:
        Unsupported: the model has operations or types that ONNX or edgekit's files lack; all of them in one error.
        UsageError: no such opset, or the package onnx is not installed.
    """
    if graph.stream is not None and graph.stream.kept == "variables":
        raise UsageError("an ONNX file keeps no states from call to call", where="streaming: state", hint='state = "io"')
    opset = lowest_opset(graph) if opset is None else opset
    if opset not in IR_VERSIONS:
        raise UsageError(f"opset {opset} is not written", hint=f"choose {min(IR_VERSIONS)} to {max(IR_VERSIONS)}")
    for dtype in _held(graph):
        if opset < SINCE.get(dtype, 0):
            raise UsageError(f"opset {opset} has no {dtype}", hint=f"choose {SINCE[dtype]} to {max(IR_VERSIONS)}")
    to = Emission(graph, opset, unsigned=unsigned, float16=float16)
    refusals = Refusals()
    lost: set[int] = set()  # what was refused: what depends on it is no problem of its own
    for value in graph.inputs:
        with _refused(refusals, f"input '{value.name}'", lost, [value]):
            to.declare(value)

    def write(nodes: Sequence[Node]) -> bool:
        for node in nodes:
            if any(value is not None and id(value) in lost for value in node.inputs):
                lost.update(id(value) for value in node.outputs)
                _check_known(node, refusals)
                continue
            with _refused(refusals, node, lost, node.outputs):
                _emit(to, node)
            if any(value is not None and id(value) in lost for value in node.inputs):  # a layer of a later exit
                lost.update(id(value) for value in node.outputs)
        return not any(id(value) in lost for node in nodes for value in node.outputs)

    to.write_nodes = write
    plan = exit_plan(graph)
    write(graph.nodes if plan is None else (*plan.before, plan.node, *plan.after))
    batch = 1 if plan is not None and plan.saves else None
    taken: set[str] = set()
    outputs: list[tuple[Tensor, Value]] = []
    for value in graph.outputs:
        if id(value) not in lost:
            with refusals.at(f"output '{value.name}'"):
                tensor = to.output(value, taken)
                taken.add(tensor.name)
                outputs.append((tensor, value))
    refusals.raise_if_any("{count} parts of this model can't be written to an ONNX file")
    inputs = list(zip(to.inputs, graph.inputs, strict=True))
    to.settle_names([tensor for tensor, _ in (*inputs, *outputs)])
    record = IoRecord(
        tuple(_describe(tensor, value, batch, (preprocessing or {}).get(value.name)) for tensor, value in inputs),
        tuple(_describe(tensor, value, batch) for tensor, value in outputs),
        output_structure(graph),
    )
    rates = exit_rates(graph)
    if graph.stream is not None:
        metadata = {STREAM_KEY: graph.stream.encode().decode(), **(metadata or {})}
    entries = {IO_KEY: encode(record).decode(), **({EXITS_KEY: rates.encode().decode()} if rates else {}), **(metadata or {})}
    name = name or graph.name
    return serialize(to, inputs, outputs, values=to.unclear(), name=name, opset=opset, metadata=entries, batch=batch)


@contextmanager
def _refused(refusals: Refusals, place: Node | str, lost: set[int], values: Sequence[Value]) -> Iterator[None]:
    """Keeps a refusal for later, and the values that it leaves without a form in the file."""
    lost.update(id(value) for value in values)
    with refusals.at(place):
        yield
        lost.difference_update(id(value) for value in values)


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


def _describe(tensor: Tensor, value: Value, batch: int | None, preprocessing: Preprocessing | None = None) -> TensorIo:
    dims = value.type.shape if batch is None else value.type.at(batch)
    shape = tuple(None if isinstance(dim, Batch) else dim for dim in dims)
    return TensorIo(
        FileTensor(tensor.name, shape, dtype_name(value.type.dtype)), batch=batch_axis(value), preprocessing=preprocessing
    )
