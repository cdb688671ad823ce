"""From a module or an exported program to a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.export.exported_program import ExportedProgram

from edgekit.errors import Unsupported
from edgekit.frontend.torch import state
from edgekit.frontend.torch.examples import Examples, examples_for
from edgekit.frontend.torch.export import Traced, trace, trace_fixed, trace_training
from edgekit.frontend.torch.failures import first_line
from edgekit.frontend.torch.forward_code import ForwardCode, kept_attributes, read_forward
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
    state.check(state.of_module(module))
    examples = examples_for(module, example_inputs)
    traced = trace(module, examples, batch_axes)
    try:
        graph = _built(module, examples, traced, batch_axes, name)
    except Unsupported as refusal:
        if not traced.varies:
            raise
        # Some forms exist for a fixed batch alone; where this one does too, the graph says why it has one.
        traced = trace_fixed(module, examples, f"{refusal.what} ({refusal.where})")
        graph = _built(module, examples, traced, batch_axes, name)
    if traced.static:
        graph.notes.append(f"the batch is fixed: {traced.static}{_axis_hint(module, batch_axes)}")
    return graph


def _built(
    module: nn.Module, examples: Examples, traced: Traced, batch_axes: Mapping[str, int | None] | None, name: str | None
) -> Graph:
    graph = Graph(name or type(module).__name__)
    state.add_state(graph, state.of_module(module))
    code = read_forward(module)
    training: TrainingTrace | None = None
    if is_suspect(module, code):
        try:
            training = compare(traced.program, trace_training(module, examples, batch_axes, static=not traced.varies))
            graph.notes += training.notes()
        except Exception as error:
            graph.notes.append(
                f"what the model does only in training is not known: it can't be traced there ({first_line(error)})"
            )
    graph.notes += _what_is_lost(module, code)
    return Translator(
        traced.program,
        graph,
        modules=state.modules_by_path(module),
        training=training,
        device=_device(graph),
        parameters=forward_parameters(module.forward),
        assigned=traced.assigned,
    ).run()


def _what_is_lost(module: nn.Module, code: ForwardCode) -> Iterator[str]:
    """What the source's code says and its trace does not."""
    for name in sorted(code.gradients):
        yield f"the gradient that '{name}' defines is not in the graph: in training it has the gradient of its ops"
    for name in kept_attributes(module):
        yield f"forward stores '{name}' on the model and reads it; every call of the graph is like the first"
    for name in state.unregistered(module):
        yield f"'{name}' is a plain list or dict: the parameters in it are not the model's, and become constants"
    yield from silent_in_trace(module)


def _device(graph: Graph) -> torch.device:
    return next((value.tensor.device for value in graph.state.values()), torch.device("cpu"))


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
    return Translator(program, graph, modules={}, training=None, device=_device(graph)).run()
