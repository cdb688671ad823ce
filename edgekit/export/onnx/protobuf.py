"""The finished file: a ``ModelProto`` as bytes. The one place of the exporter that imports onnx."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

import edgekit
from edgekit.errors import Unsupported, UsageError
from edgekit.export.onnx.element_types import onnx_type, raw_bytes
from edgekit.export.onnx.writer import Attribute, Branch, FileNode, Tensor, Writer
from edgekit.ir.graph import Value
from edgekit.ir.types import Batch

#: The lowest version of the file format that goes with each opset (onnx/helper.py: OP_SET_ID_VERSION_MAP).
IR_VERSIONS: dict[int, int] = {18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}

#: Protobuf's limit of one message.
_LIMIT = 2**31 - 1


def serialize(
    writer: Writer,
    inputs: Sequence[tuple[Tensor, Value]],
    outputs: Sequence[tuple[Tensor, Value]],
    *,
    values: Sequence[tuple[Tensor, Value]] = (),
    name: str,
    opset: int,
    metadata: Mapping[str, str],
    batch: int | None = None,
) -> bytes:
    """The file, once names are settled. The same content gives the same bytes. ``values`` are declared with their shapes.

    ``batch`` is the file's, None where the caller chooses it.

    Raises:
        UsageError: the package onnx is not installed.
        Unsupported: the constants exceed 2 GB, the most that one file holds.
    """
    try:
        import onnx
    except ImportError as error:
        raise UsageError("the package onnx is not installed", hint="pip install 'edgekit[build]'") from error
    size = _held(writer.initializers, writer.nodes)
    if size > _LIMIT:
        raise Unsupported(
            f"the model's constants take {size:,} bytes, an ONNX file holds at most {_LIMIT:,}",
            hint="quantise the weights, or choose a smaller model",
        )
    model = onnx.ModelProto(
        ir_version=IR_VERSIONS[opset],
        producer_name="edgekit",
        producer_version=edgekit.__version__,
        opset_import=[onnx.OperatorSetIdProto(domain="", version=opset)],
    )
    for key, text in sorted(metadata.items()):
        model.metadata_props.add(key=key, value=text)
    graph = model.graph
    graph.name = name
    graph.node.extend(_node(onnx, node) for node in writer.nodes)
    graph.initializer.extend(_tensor(onnx, data, tensor.name, tensor.kind) for tensor, data in writer.initializers)
    graph.input.extend(_value_info(onnx, tensor, value, batch) for tensor, value in inputs)
    graph.output.extend(_value_info(onnx, tensor, value, batch) for tensor, value in outputs)
    graph.value_info.extend(_value_info(onnx, tensor, value, batch) for tensor, value in values)
    return bytes(model.SerializeToString(deterministic=True))


def _node(onnx: Any, node: Any) -> Any:
    names = [tensor.name for tensor in node.outputs]
    return onnx.NodeProto(
        op_type=node.type,
        name=names[0],
        input=["" if tensor is None else tensor.name for tensor in node.inputs],
        output=names,
        attribute=[_attribute(onnx, key, content) for key, content in sorted(node.attributes.items())],
    )


def _attribute(onnx: Any, name: str, content: Attribute) -> Any:
    kinds = onnx.AttributeProto
    if isinstance(content, Branch):
        return kinds(name=name, type=kinds.GRAPH, g=_branch(onnx, content, name))
    if isinstance(content, torch.Tensor):
        return kinds(name=name, type=kinds.TENSOR, t=_tensor(onnx, content, ""))
    if isinstance(content, str):
        return kinds(name=name, type=kinds.STRING, s=content.encode())
    if isinstance(content, int):
        return kinds(name=name, type=kinds.INT, i=content)
    if isinstance(content, float):
        return kinds(name=name, type=kinds.FLOAT, f=content)
    items: Iterable[Any] = list(content)
    if all(isinstance(item, str) for item in items):
        return kinds(name=name, type=kinds.STRINGS, strings=[item.encode() for item in items])
    if all(isinstance(item, int) for item in items):
        return kinds(name=name, type=kinds.INTS, ints=items)
    return kinds(name=name, type=kinds.FLOATS, floats=items)


def _branch(onnx: Any, branch: Branch, name: str) -> Any:
    """A graph without inputs: a branch reads what stands outside by name. It runs at batch 1."""
    assert branch.value is not None
    return onnx.GraphProto(
        name=f"{branch.value.name}/{name}",
        node=[_node(onnx, node) for node in branch.nodes],
        initializer=[_tensor(onnx, data, tensor.name, tensor.kind) for tensor, data in branch.initializers],
        output=[_value_info(onnx, branch.output, branch.value, 1, branch.kind)],
    )


def _held(initializers: Iterable[tuple[Tensor, torch.Tensor]], nodes: Iterable[FileNode]) -> int:
    """Bytes of all constants, in branches too."""
    branches = [content for node in nodes for content in node.attributes.values() if isinstance(content, Branch)]
    inner = sum(_held(branch.initializers, branch.nodes) for branch in branches)
    return inner + sum(data.numel() * data.element_size() for _, data in initializers)


def _tensor(onnx: Any, data: torch.Tensor, name: str, kind: int | None = None) -> Any:
    number = onnx_type(data.dtype) if kind is None else kind
    return onnx.TensorProto(name=name, data_type=number, dims=data.shape, raw_data=raw_bytes(data, kind))


def _value_info(onnx: Any, tensor: Tensor, value: Value, batch: int | None = None, number: int | None = None) -> Any:
    info = onnx.ValueInfoProto(name=tensor.name)
    kind = info.type.tensor_type
    kind.elem_type = onnx_type(value.type.dtype) if number is None else number
    kind.shape.SetInParent()  # a number has a shape without dimensions, which is not the same as no shape
    for dim in value.type.shape if batch is None else value.type.at(batch):
        if isinstance(dim, Batch):
            kind.shape.dim.add(dim_param=str(dim))
        else:
            kind.shape.dim.add(dim_value=dim)
    return info
