"""From a module or an exported program to a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.export.exported_program import ExportedProgram

from edgekit.frontend.torch import state
from edgekit.frontend.torch.examples import examples_for
from edgekit.frontend.torch.export import trace
from edgekit.frontend.torch.signature import forward_parameters
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
    traced = trace(module, examples_for(module, example_inputs), batch_axes)
    device = next((value.tensor.device for value in graph.state.values()), torch.device("cpu"))
    translator = Translator(
        traced.program,
        graph,
        modules=state.modules_by_path(module),
        training=None,
        device=device,
        parameters=forward_parameters(module.forward),
    )
    graph = translator.run()
    if traced.static:
        graph.notes.append(f"the batch is fixed: {traced.static}")
    return graph


def graph_of_program(program: ExportedProgram, name: str) -> Graph:
    """The graph of an exported program; a batch that was exported as fixed stays fixed.

    Raises:
        Unsupported: something in it has no form in a graph: all such nodes in one error.
    """
    graph = Graph(name)
    state.add_state(graph, state.of_program(program))
    device = next((value.tensor.device for value in graph.state.values()), torch.device("cpu"))
    return Translator(program, graph, modules={}, training=None, device=device).run()
