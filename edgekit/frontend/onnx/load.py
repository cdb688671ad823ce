"""From an ``.onnx`` file to a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.frontend.onnx.inputs import input_types
from edgekit.frontend.onnx.parameters import make_state
from edgekit.frontend.onnx.read import opset_of, read_model
from edgekit.frontend.onnx.translate import Translator
from edgekit.ir import Graph


def graph_of_file(
    path: Path,
    *,
    input_shapes: Mapping[str, Any] | Sequence[str] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
    name: str | None = None,
) -> Graph:
    """The graph of an ONNX file.

    Args:
        path: the file; files of external data lie in its folder.
        input_shapes: sizes for dimensions that the file leaves free, besides the batch: ``["x=1,3,224,224"]``.
        batch_axes: input name -> batch axis, None for an input without batch; by default axis 0 where it is free.
        name: the graph's name; the file's stem if not given.

    Raises:
        Unsupported: something in the file has no form in a graph: all such nodes in one error.
        InputError: the file is missing, damaged, contradicts itself, or reaches out of its folder.
    """
    return graph_of_model(
        read_model(path),
        name=name or path.stem,
        folder=path.parent,
        where=str(path),
        input_shapes=input_shapes,
        batch_axes=batch_axes,
    )


def graph_of_model(
    model: Any,
    *,
    name: str,
    folder: Path | None = None,
    where: str = "the ONNX model",
    input_shapes: Mapping[str, Any] | Sequence[str] | None = None,
    batch_axes: Mapping[str, int | None] | None = None,
) -> Graph:
    """The graph of a ``ModelProto`` that ``read_model`` checked; see ``graph_of_file``."""
    graph = Graph(name)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    names = [value.name for value in inputs]
    if len(set(names)) < len(names) or "" in names:
        raise InputError("two inputs have one name, or none", where=where, hint="copy or download the file again")
    for value, type in zip(inputs, input_types(inputs, where, input_shapes, batch_axes), strict=True):
        graph.add_input(value.name, type)
    translator = Translator(model, graph, opset_of(model), folder, where)
    translator.run()
    graph.eliminate_dead()
    make_state(translator.building)
    return graph
