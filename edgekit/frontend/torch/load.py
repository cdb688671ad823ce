"""From a module or an exported program to a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.export.exported_program import ExportedProgram

from edgekit.frontend.torch import state
from edgekit.frontend.torch.examples import examples_for
from edgekit.frontend.torch.export import trace, trace_training
from edgekit.frontend.torch.failures import first_line
from edgekit.frontend.torch.forward_code import kept_attributes
from edgekit.frontend.torch.signature import forward_parameters
from edgekit.frontend.torch.training import TrainingTrace, compare, is_suspect, silent_in_trace
from edgekit.frontend.torch.translate import Translator
from edgekit.ir import Graph


def graph_of_module(
    module: nn.Module,
    example_inputs: Any,
    *,
    batch_axes: Mapping[str, int | None] | None = None,
    name: str | None = None,
) -> Graph:
    """The graph of a module, which shares the module's parameters and buffers.

    Args:
        module: the source; it is left as it is.
        example_inputs: a tuple of arguments, a tensor, or a dict by parameter name.
        batch_axes: parameter name -> batch axis, or None for an input without batch.
        name: the graph's name; the class's if not given.

    Raises:
        Unsupported: something in the model has no form in a graph: all such nodes in one error.
        InputError: the examples do not fit, or the model raises.
    """
    graph = Graph(name or type(module).__name__)
    state.add_state(graph, state.of_module(module))
    examples = examples_for(module, example_inputs)
    traced = trace(module, examples, batch_axes)
    training: TrainingTrace | None = None
    if is_suspect(module):
        try:
            training = compare(traced.program, trace_training(module, examples, batch_axes, static=bool(traced.static)))
            graph.notes += training.notes()
        except Exception as error:
            graph.notes.append(
                f"what the model does only in training is not known: it can't be traced there ({first_line(error)})"
            )
    device = next((value.tensor.device for value in graph.state.values()), torch.device("cpu"))
    graph.notes += silent_in_trace(module)
    translator = Translator(
        traced.program,
        graph,
        modules=state.modules_by_path(module),
        training=training,
        device=device,
        parameters=forward_parameters(module.forward),
        assigned=traced.assigned,
    )
    graph = translator.run()
    for name in kept_attributes(module):
        graph.notes.append(f"forward stores '{name}' on the model and reads it; every call of the graph is like the first")
    if traced.static:
        graph.notes.append(f"the batch is fixed: {traced.static}{_axis_hint(module, batch_axes)}")
    return graph


def _axis_hint(module: nn.Module, batch_axes: Mapping[str, int | None] | None) -> str:
    """Layers that want time first explain most batches that cannot vary on axis 0."""
    late = [path or type(part).__name__ for path, part in module.named_modules() if getattr(part, "batch_first", True) is False]
    if batch_axes or not late:
        return ""
    return f"; '{late[0]}' has batch_first=False: if the batch is on axis 1, say batch_axes={{name: 1}}"


def graph_of_program(program: ExportedProgram, name: str) -> Graph:
    """The graph of an exported program; a batch that was exported as fixed stays fixed.

    Raises:
        Unsupported: something in it has no form in a graph: all such nodes in one error.
    """
    graph = Graph(name)
    state.add_state(graph, state.of_program(program))
    device = next((value.tensor.device for value in graph.state.values()), torch.device("cpu"))
    return Translator(program, graph, modules={}, training=None, device=device).run()
