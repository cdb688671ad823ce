"""A graph written as a TFLite file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.errors import Unsupported
from edgekit.export.exit_record import exit_rates
from edgekit.export.refusals import Refusals, place_of
from edgekit.export.structure import batch_axis, output_structure
from edgekit.export.tflite import emitters as _emitters  # noqa: F401 - fills the table
from edgekit.export.tflite import kernels, larq, micro
from edgekit.export.tflite.aliasing import guard
from edgekit.export.tflite.arrangement import arranged
from edgekit.export.tflite.emission import Emission
from edgekit.export.tflite.layout.borders import form_of
from edgekit.export.tflite.legalize import legalize
from edgekit.export.tflite.options import TfliteOptions
from edgekit.export.tflite.registry import EMITTERS, Emitter
from edgekit.export.tflite.squares import separate_factors
from edgekit.export.tflite.variables import with_variables
from edgekit.formats.exit_rates import EXITS_KEY
from edgekit.formats.io_metadata import IO_KEY, FileTensor, IoRecord, Layout, TensorIo, encode
from edgekit.formats.stream_record import STREAM_KEY
from edgekit.formats.tflite.memory_plan import with_offline_plan
from edgekit.formats.tflite.model import Model, Signature, Tensor
from edgekit.formats.tflite.write import write
from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.exits import exit_plan
from edgekit.ir.ops import Op


def export(graph: Graph, options: TfliteOptions | None = None) -> bytes:
    """The bytes of a .tflite file that computes what the graph computes, at the file's batch.

    The graph should have been through the exact passes; it is not changed. Quantised values are written as integers, all
    else as floats.

    Raises:
        Unsupported: something in the model has no form in TFLite (or, for a micro file, in TFLite Micro); all such places
            are named together.
        UsageError: a layout is demanded of an input or output that does not exist or cannot have it.
    """
    options = options or TfliteOptions()
    return write(to_model(graph, options), names="all" if options.all_names else "io")


def to_model(graph: Graph, options: TfliteOptions) -> Model:
    """The file as plain data. Arguments and errors are those of `export`."""
    graph = legalize(graph)
    _refuse_unknown(graph)
    arrangement = arranged(graph, options)
    inputs, outputs, batch = arrangement.inputs, arrangement.outputs, options.batch
    emission = Emission(graph, arrangement.assignment, options)
    refusals = Refusals()
    for value in graph.inputs:
        with refusals.at(f"input '{value.name}'"):
            emission.input(value, form_of(value.type.at(batch), inputs[value.name]))
    refusals.raise_if_any("{count} inputs of this model cannot be written for TFLite")
    _write_nodes(emission, {**EMITTERS, **larq.EMITTERS} if options.larq else EMITTERS, options.larq)
    emission.sheet.node = None
    results = _outputs(emission, outputs)
    for sheet in (emission.sheet, *emission.subgraphs):
        guard(sheet)
        separate_factors(sheet)
        kernels.check(sheet)
        if options.micro:
            micro.check(sheet)
    return _assemble(emission, results, options, inputs, outputs)


def _write_nodes(emission: Emission, emitters: Mapping[type[Op], Emitter], for_larq: bool) -> None:
    """Write every node; what hangs on a refused one is left out, so that all refusals are found.

    Raises:
        Unsupported: some nodes have no form in TFLite.
    """
    refusals, missing = Refusals(), set[int]()

    def write(nodes: Sequence[Node]) -> bool:
        for node in nodes:
            written = False
            if not any(id(value) in missing for value in node.inputs):
                emission.sheet.node = node
                with refusals.at(node):
                    emitters[type(node.op)](emission.site(node), node.op)
                    written = not any(id(value) in missing for value in node.inputs)
            if not written:
                missing.update(id(value) for value in node.outputs)
        return not any(id(value) in missing for node in nodes for value in node.outputs)

    emission.write_nodes = write
    plan = exit_plan(emission.graph)
    if for_larq and plan is not None:
        raise Unsupported(
            "files for Larq Compute Engine take no early exits: its packed signs can't enter a branch of IF",
            where=place_of(plan.node),
            hint="the target tflite-int8, or a network without early exits",
        )
    write(emission.graph.nodes if plan is None else (*plan.before, plan.node, *plan.after))
    refusals.raise_if_any("{count} things in this model cannot be written for TFLite")


def _refuse_unknown(graph: Graph) -> None:
    refusals = Refusals()
    for node in graph.nodes:
        with refusals.at(node):
            if type(node.op) not in EMITTERS:
                raise Unsupported(
                    f"TFLite has no operator for '{node.op.name}'",
                    hint="rewrite the layer with supported ops (`edgekit ops`), or use an ONNX target",
                )
    for value in (*graph.inputs, *(value for node in graph.nodes for value in node.outputs), *graph.outputs):
        with refusals.at(value.producer or f"'{value.name}'"):
            if 0 in value.shape:
                raise Unsupported(f"TFLite's runtimes take no tensor without elements: {value.type}", hint="leave it out")
    refusals.raise_if_any("{count} things in this model cannot be written for TFLite")


def _outputs(emission: Emission, layouts: dict[str, Layout]) -> list[int]:
    """The tensors of the graph outputs, each one of its own and computed by an operator."""
    taken = {emission.tensor(value, emission.home(value)) for value in emission.graph.inputs}
    results: list[int] = []
    for value in emission.graph.outputs:
        form = form_of(emission.shape(value), layouts[value.name])
        index = emission.tensor(value, form)
        if index in taken or value.is_constant or _is_widened(value):
            copy = emission.like(value, form.physical)
            emission.reshape(index, copy)
            index = copy
        taken.add(index)
        results.append(index)
    return results


def _is_widened(value: Value) -> bool:
    """Kernels of single elements give a vector of one for a single number."""
    exact = (ops.Reshape, ops.Mean, ops.Sum, ops.Amax, ops.Amin, ops.Argmax)
    return not value.shape and value.producer is not None and not isinstance(value.producer.op, exact)


def _assemble(
    emission: Emission, results: list[int], options: TfliteOptions, inputs: dict[str, Layout], outputs: dict[str, Layout]
) -> Model:
    graph, sheet = emission.graph, emission.sheet
    given = [emission.tensor(value, emission.home(value)) for value in graph.inputs]
    for value, index in zip(graph.outputs, results, strict=True):
        sheet.rename(index, value.name)
    # States that the file keeps itself are neither inputs nor outputs; they stand behind the model's own.
    kept = len(graph.stream.states) if graph.stream is not None and graph.stream.kept == "variables" else 0
    own = (graph.inputs[: len(given) - kept], graph.outputs[: len(results) - kept])
    record = IoRecord(
        tuple(_io(v, sheet.tensors[i], inputs[v.name], options) for v, i in zip(own[0], given, strict=False)),
        tuple(_io(v, sheet.tensors[i], outputs[v.name], options) for v, i in zip(own[1], results, strict=False)),
        output_structure(graph, len(own[1])),
    )
    signature = Signature(
        options.signature,
        {value.name: index for value, index in zip(own[0], given, strict=False)},
        {sheet.tensors[index].name: index for index in results[: len(own[1])]},
    )
    main = sheet.subgraph(given, results)
    bodies = tuple(body.subgraph(body.inputs, body.outputs) for body in emission.subgraphs)
    rates = exit_rates(graph)
    metadata = {IO_KEY: encode(record), **({EXITS_KEY: rates.encode()} if rates else {})}
    if graph.stream is not None:
        metadata[STREAM_KEY] = graph.stream.encode()
    model = Model((main, *bodies), (signature,), metadata)
    if kept:
        model = with_variables(model, kept)
    return with_offline_plan(model) if options.micro else model


def _io(value: Value, tensor: Tensor, layout: Layout, options: TfliteOptions) -> TensorIo:
    file = FileTensor(value.name, tensor.shape, "", None)
    return TensorIo(file, layout, batch_axis(value), options.preprocessing.get(value.name))
