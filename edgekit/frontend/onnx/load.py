"""From an ``.onnx`` file to a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError
from edgekit.frontend.call_signature import call_signature
from edgekit.frontend.onnx.absorb import absorb
from edgekit.frontend.onnx.dynamic_products import with_real_products
from edgekit.frontend.onnx.inputs import input_types
from edgekit.frontend.onnx.integer_operators import with_real_operators
from edgekit.frontend.onnx.parameters import make_state
from edgekit.frontend.onnx.read import opset_of, read_model
from edgekit.frontend.onnx.source_file import source_of
from edgekit.frontend.onnx.translate import Translator
from edgekit.frontend.samples_apart import keeps_samples_apart
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

    A file of one sample (most exporters' default) is first read as if its first axis were the batch: that stands where three
    samples together give what each gives alone.

    Raises:
        Unsupported: something in the file has no form in a graph: all such nodes in one error.
        InputError: the file is missing, damaged, contradicts itself, or reaches out of its folder.
    """
    model = read_model(path)

    def loaded(axes: Mapping[str, int | None] | None) -> Graph:
        return graph_of_model(
            model, name=name or path.stem, folder=path.parent, where=str(path), input_shapes=input_shapes, batch_axes=axes
        )

    graph, reason = None, ""
    alone = _of_one_sample(model) if batch_axes is None else []
    if alone:
        graph, reason = _freed(lambda: loaded(dict.fromkeys(alone, 0)))
    one_by_one = graph is not None
    if graph is None:
        graph = loaded(batch_axes)
        if reason:
            graph.notes.append(f"the batch stays that of the file: {reason}")
    graph.signature = call_signature(graph)
    graph.source = source_of(model, path, graph, one_by_one=one_by_one)
    return graph


def _of_one_sample(model: Any) -> list[str]:
    """Names of the inputs, where the first axis of all of them is 1; none otherwise."""
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    rows = [list(value.type.tensor_type.shape.dim) for value in inputs]
    return [value.name for value in inputs] if all(len(row) > 1 and row[0].dim_value == 1 for row in rows) else []


def _freed(load: Callable[[], Graph]) -> tuple[Graph | None, str]:
    """The graph with a batch, or why it has none."""
    try:
        graph = load()
    except EdgekitError as error:
        return None, error.what
    if not all(value.type.has_batch for value in graph.outputs):
        return None, "an output belongs to no sample"
    if not keeps_samples_apart(graph, otherwise=False):
        return None, "samples that run together change each other's outputs"
    return graph, ""


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
    model, dynamic = with_real_products(with_real_operators(model, folder, where))
    graph = Graph(name)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    names = [value.name for value in inputs]
    if len(set(names)) < len(names) or "" in names:
        raise InputError("two inputs have one name, or none", where=where, hint="copy or download the file again")
    translator = Translator(model, graph, opset_of(model), folder, where)
    types = input_types(inputs, where, input_shapes, batch_axes, problems=translator.problems)
    for value, type in zip(inputs, types, strict=True):
        if type is None:
            translator.without.append(value.name)
        else:
            graph.add_input(value.name, type)
    translator.run()
    graph.eliminate_dead()
    make_state(translator.building)
    if dynamic:
        graph.notes.append(f"the file rounds the inputs of {dynamic} layers to 8 bits as it runs; in the graph they are floats")
    return absorb(graph)
