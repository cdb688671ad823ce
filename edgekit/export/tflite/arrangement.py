"""What is decided about a TFLite file before an operator is written: its borders, and the order of every value's axes."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.export.tflite.layout.assign import Assignment, assign
from edgekit.export.tflite.layout.borders import border_layouts, form_of
from edgekit.export.tflite.legalize import legalize
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.io_metadata import Layout
from edgekit.ir import Graph, ops


@dataclass(frozen=True)
class Arrangement:
    """A graph of ops that TFLite has, and how its values stand in the file.

    Attributes:
        graph: a copy of what is exported, in ops that have emitters.
        inputs, outputs: the layout of each, by name.
        assignment: the mode of every node.
    """

    graph: Graph
    inputs: dict[str, Layout]
    outputs: dict[str, Layout]
    assignment: Assignment


def borders(graph: Graph, options: TfliteOptions) -> tuple[dict[str, Layout], dict[str, Layout]]:
    """The layouts of the inputs and of the outputs, by name; a state comes in as it goes out.

    Raises:
        UsageError: a layout is demanded of an input or output that does not exist or cannot have it.
    """
    inputs, outputs = border_layouts(graph, options.layout, options.layouts)
    for state in () if graph.stream is None else graph.stream.states:  # what goes out of a call comes into the next as it is
        last = "channels_last" in (inputs[state.input], outputs[state.output])
        inputs[state.input] = outputs[state.output] = "channels_last" if last else "source"
    return inputs, outputs


def arranged(graph: Graph, options: TfliteOptions) -> Arrangement:
    """The assignment of a graph that has been through ``legalize``. Errors are those of ``borders``."""
    inputs, outputs = borders(graph, options)
    batch = options.batch
    assignment = assign(
        graph,
        batch,
        {id(value): form_of(value.type.at(batch), inputs[value.name]) for value in graph.inputs},
        [form_of(value.type.at(batch), outputs[value.name]) for value in graph.outputs],
    )
    return Arrangement(graph, inputs, outputs, assignment)


def sequence_products(graph: Graph, options: TfliteOptions) -> frozenset[str]:
    """Outputs of the convolutions of a float graph that its file writes as products, because their neighbours hold (N, L, C).

    As convolutions they would stand between two reshapes. Errors are those of ``borders``.
    """
    found = arranged(legalize(graph), options)
    filters = [node for node in found.graph.nodes if isinstance(node.op, ops.Conv1d)]
    return frozenset(node.output.name for node in filters if len(found.assignment.mode(node).outputs[0].axes) == 3)
