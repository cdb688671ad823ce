"""What is in a model: its ops, shapes, costs and bytes, whatever form the model has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.diagram import Box, draw
from edgekit.diagram.svg import Kind
from edgekit.formats.description import Description, OpInfo, TensorInfo

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: Files that are described without being loaded as a graph: neither torch nor a runtime is needed.
ARTIFACTS = (".tflite", ".onnx")


@dataclass(frozen=True)
class Inspection:
    """A model's description, and the graph where it was read into one."""

    description: Description
    graph: Graph | None = None

    def svg(self) -> str:
        """A drawing of the ops."""
        if self.graph is None:
            return drawing(self.description)
        from edgekit.ir.drawing import to_svg

        return to_svg(self.graph)


def look_into(
    model: str, *, weights: Path | None = None, input_shapes: Sequence[str] = (), root: Path | None = None
) -> Inspection:
    """Describes an artifact from its bytes; reads anything else into a graph, without passes, as ``ek.load`` does.

    Args:
        model: ``package.module:callable`` or a path.
        weights: a checkpoint for a callable.
        input_shapes: ``[NAME=]1,3,32,32[:int64]`` for a callable without example inputs.
        root: the folder that callables are imported from.

    Raises:
        InputError: no such file, or a damaged one.
        Unsupported: the model has something that no graph has.
    """
    path = Path(model)
    if path.suffix.lower() in ARTIFACTS and path.is_file():
        from edgekit.report.from_artifact import describe

        return Inspection(describe(path))
    from edgekit.frontend.source import load
    from edgekit.report.from_graph import describe as describe_graph

    graph = load(model, weights=weights, input_shapes=list(input_shapes) or None, root=root)
    return Inspection(describe_graph(graph), graph)


def drawing(description: Description) -> str:
    """The ops of a model file as SVG; ONNX's Constant nodes are left out, as constants are elsewhere."""
    ends = len(description.inputs)
    shown = [index for index, op in enumerate(description.ops) if op.kind != "Constant"]
    place = {index: ends + number for number, index in enumerate(shown)}
    place.update((-1 - number, number) for number in range(ends))
    count = len(description.ops)
    place.update((count + number, ends + len(shown) + number) for number in range(len(description.outputs)))
    edges = [(place[source], place[target]) for source, target in description.edges if source in place and target in place]
    branches = Counter(target for _, target in edges)
    boxes = [_end(tensor, "input") for tensor in description.inputs]
    boxes += [_box(description.ops[index], branches[place[index]]) for index in shown]
    boxes += [_end(tensor, "output") for tensor in description.outputs]
    return draw(boxes, edges, description=f"{description.name}: {count} ops")


def _end(tensor: TensorInfo, what: str) -> Box:
    return Box(tensor.name or what, "", f"{what} · {_shape(tensor.shape)} · {tensor.dtype}", kind="end")


def _box(op: OpInfo, branches: int) -> Box:
    kind: Kind = "weighted" if op.parameters > 1 and op.macs else "join" if branches > 1 else "plain"
    detail = " · ".join(filter(None, (_shape(op.shapes[0]) if op.shapes else "", "" if op.dtype == "float32" else op.dtype)))
    return Box(op.kind, op.attributes, detail, op.name, kind)


def _shape(shape: Sequence[int | str | None]) -> str:
    return "×".join("N" if size is None else str(size) for size in shape) or "scalar"
