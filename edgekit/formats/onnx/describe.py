"""An .onnx file as a ``Description``: ops, tensors, costs and bytes, without ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from edgekit.errors import InputError, UsageError
from edgekit.formats.description import (
    Description,
    Dimension,
    OpInfo,
    SizeBreakdown,
    TensorInfo,
    edges,
    peak_memory,
    total_macs,
)

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
#: Ops whose second and third input are gate weights, applied at every step of the first.
_RECURRENT = ("LSTM", "GRU", "RNN")
_MULTIPLIERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", *_RECURRENT)


def describe(data: bytes, name: str) -> Description:
    """What a file holds; costs are those of one sample (dimensions that the caller chooses count 1) that takes every branch.

    Raises:
        InputError: not an ONNX file, or a damaged one.
        UsageError: the package onnx is not installed.
    """
    model = _load(data, name)
    view = _View(model)
    ops = tuple(view.op(node) for node in view.nodes)
    weights = [t for t in view.constants.values() if t.name in view.read and t.name not in view.scales]
    return Description(
        name=name,
        format="onnx",
        inputs=tuple(view.end(v) for v in model.graph.input if v.name not in view.constants),
        outputs=tuple(view.end(v) for v in model.graph.output),
        ops=ops,
        parameters=sum(prod(t.dims) for t in weights if _is_parameter(t)),
        weight_bytes=sum(len(_bytes(t)) for t in weights),
        macs=total_macs(ops),
        peak_memory_bytes=view.peak(),
        file_bytes=len(data),
        sizes=view.sizes(len(data)),
        metadata=_metadata(model),
        edges=view.edges(),
    )


def _load(data: bytes, name: str) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise UsageError(
            "reading an .onnx file needs the package 'onnx'", where=name, hint='pip install "edgekit[build]"'
        ) from error
    hint = "copy or download the file again"
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's error class depends on its backend
        raise InputError(f"this is not an ONNX file, or it is damaged: {error}", where=name, hint=hint) from error
    if not model.graph.node and not model.graph.output:
        raise InputError("this is not an ONNX file: it has no graph", where=name, hint=hint)
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # a graph without shapes can still be listed
        return model


class _View:
    """Look-ups over one model."""

    def __init__(self, model: Any) -> None:
        graph = model.graph
        self.model = model
        nodes = list(_nodes(graph))
        self.nodes = list(_with_branches(graph))
        self.constants = {t.name: t for t in _constants(graph)}
        self.types = {v.name: v.type.tensor_type for v in (*_inferred(graph), *graph.input, *graph.output)}
        self.read = {name for node in nodes for name in node.input} | {v.name for v in graph.output}
        self.scales = {name for node in nodes if node.op_type in _QUANTIZERS for name in node.input[1:]}
        #: Value computed from a constant by DequantizeLinear -> that constant.
        self.stored = {
            node.output[0]: self.constants[node.input[0]]
            for node in nodes
            if node.op_type == "DequantizeLinear" and node.input[0] in self.constants
        }

    def shape(self, name: str) -> tuple[Dimension, ...]:
        if name in self.constants:
            return tuple(self.constants[name].dims)
        if name in self.stored:
            return tuple(self.stored[name].dims)
        dims = self.types[name].shape.dim if name in self.types else ()
        return tuple(d.dim_value if d.HasField("dim_value") else _named(d.dim_param) for d in dims)

    def ranked(self, name: str) -> bool:
        return name in self.constants or name in self.stored or (name in self.types and self.types[name].HasField("shape"))

    def numel(self, name: str) -> int:
        return prod(_at_one(size) for size in self.shape(name))

    def dtype(self, name: str) -> str:
        if name in self.constants:
            return _type_name(self.constants[name].data_type)
        return _type_name(self.types[name].elem_type) if name in self.types else ""

    def end(self, value: Any) -> TensorInfo:
        """An input or output; the scale is that of the QuantizeLinear or DequantizeLinear beside it, if it is an integer."""
        dtype = self.dtype(value.name)
        for node in self.model.graph.node:
            if node.op_type in _QUANTIZERS and dtype in ("int8", "uint8") and value.name in (node.input[0], node.output[0]):
                numbers = [_array(self.constants[i]) for i in node.input[1:] if i in self.constants]
                if numbers:
                    zero = int(numbers[1].reshape(-1)[0]) if len(numbers) > 1 else 0
                    return TensorInfo(
                        value.name, self.shape(value.name), dtype, float(numbers[0].reshape(-1)[0]), zero, numbers[0].size
                    )
        return TensorInfo(value.name, self.shape(value.name), dtype)

    def op(self, node: Any) -> OpInfo:
        used = [] if node.op_type in _QUANTIZERS else [c for c in map(self._constant, node.input) if c is not None]
        if node.op_type != "If":  # the nodes of its branches are listed themselves
            used += [constant for body in _subgraphs(node) for constant in _constants(body)]
        return OpInfo(
            kind=node.op_type,
            name=node.output[0],
            shapes=tuple(self.shape(name) for name in node.output if name),
            dtype=self.dtype(node.output[0]),
            macs=self._macs(node),
            parameters=sum(prod(t.dims) for t in used if _is_parameter(t)),
            weight_bytes=sum(len(_bytes(t)) for t in used),
            attributes=_attributes(node),
        )

    def _constant(self, name: str) -> Any:
        return self.stored.get(name, self.constants.get(name))

    def _macs(self, node: Any) -> int | None:
        """None where the file does not give the shapes that say it, as inside some branches."""
        if node.op_type not in _MULTIPLIERS:
            return 0
        if not all(self.ranked(name) for name in (*node.input[:2], node.output[0])):
            return None
        shapes = [tuple(_at_one(size) for size in self.shape(name)) for name in node.input]
        out = self.numel(node.output[0])
        match node.op_type:
            case "Conv":
                return out * prod(shapes[1][1:])
            case "ConvTranspose":
                return prod(shapes[0]) * prod(shapes[1][1:])
            case "Gemm" if shapes[0]:
                return out * shapes[0][0 if _attribute(node, "transA", 0) else -1]
            case "MatMul" if shapes[0]:
                return out * shapes[0][-1]
            case kind if kind in _RECURRENT and len(shapes[0]) == 3 and len(shapes) > 2:
                return shapes[0][0] * shapes[0][1] * (prod(shapes[1]) + prod(shapes[2]))
        return None

    def peak(self) -> int | None:
        """Activations alone. What stands between an op and its QuantizeLinear or DequantizeLinear is fused by runtimes: 0
        bytes.
        """
        graph = self.model.graph
        numbers: dict[str, int] = {}
        sizes: dict[int, int] = {}
        fused = {node.output[0] for node in self.nodes if node.op_type == "DequantizeLinear"}
        fused |= {node.input[0] for node in self.nodes if node.op_type == "QuantizeLinear"}
        ends = [v.name for v in graph.input if v.name not in self.constants]
        for name in (*ends, *(o for node in self.nodes for o in node.output if o and o not in self.constants)):
            if name not in self.types or not self.types[name].HasField("shape"):
                return None
            numbers[name] = len(numbers)
            wide = name not in fused or name in ends or self.dtype(name) not in ("float32", "float16")
            sizes[numbers[name]] = self.numel(name) * _width(self.dtype(name)) if wide else 0
        steps = [
            ([numbers[i] for i in _reads(n) if i in numbers], [numbers[o] for o in n.output if o in numbers])
            for n in self.nodes
        ]
        outputs = [numbers[v.name] for v in graph.output if v.name in numbers]
        return peak_memory(steps, sizes, [numbers[name] for name in ends], outputs)

    def edges(self) -> tuple[tuple[int, int], ...]:
        graph = self.model.graph
        names: dict[str, int] = {}
        ends = [v.name for v in graph.input if v.name not in self.constants]
        for name in (*ends, *(name for node in self.nodes for name in (*_reads(node), *node.output) if name)):
            names.setdefault(name, len(names))
        steps = [([names[i] for i in _reads(n) if i], [names[o] for o in n.output if o]) for n in self.nodes]
        return edges(steps, [names[name] for name in ends], [names.get(v.name, -1) for v in graph.output])

    def sizes(self, total: int) -> SizeBreakdown:
        stored = {name: len(_bytes(tensor)) for name, tensor in self.constants.items()}
        scales = sum(size for name, size in stored.items() if name in self.scales)
        texts = [self.model.producer_name, self.model.producer_version, self.model.doc_string, self.model.graph.doc_string]
        metadata = sum(len(text.encode()) for text in texts)
        metadata += sum(len(p.key.encode()) + len(p.value.encode()) for p in self.model.metadata_props)
        weights = sum(stored.values()) - scales
        return SizeBreakdown(weights, scales, metadata, total - weights - scales - metadata)


def _subgraphs(node: Any) -> Iterator[Any]:
    """The branches of an If, the bodies of a Loop or Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _with_branches(graph: Any) -> Iterator[Any]:
    """The nodes with those of an If's branches in front of it: all that may run."""
    for node in graph.node:
        if node.op_type == "If":
            for branch in _subgraphs(node):
                yield from _with_branches(branch)
        yield node


def _inferred(graph: Any) -> Iterator[Any]:
    """The types that shape inference found, in inner graphs too, and those of what these give."""
    yield from graph.value_info
    for node in graph.node:
        for inner in _subgraphs(node):
            yield from (*_inferred(inner), *inner.output)


def _reads(node: Any) -> list[str]:
    """What a node reads: what its branches give, and all that bodies of loops read (their own names are nobody else's)."""
    if node.op_type == "If":
        return [*node.input, *(value.name for branch in _subgraphs(node) for value in branch.output)]
    return [*node.input, *(name for branch in _subgraphs(node) for inner in branch.node for name in _reads(inner))]


def _nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those of inner graphs too."""
    for node in graph.node:
        yield node
        for inner in _subgraphs(node):
            yield from _nodes(inner)


def _constants(graph: Any) -> Iterator[Any]:
    """All constants, those of inner graphs too, each under the name by which it is read."""
    yield from graph.initializer
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    attribute.t.name = node.output[0]
                    yield attribute.t
        for inner in _subgraphs(node):
            yield from _constants(inner)


def _type_name(number: int) -> str:
    import onnx

    name = str(onnx.TensorProto.DataType.Name(number)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _width(dtype: str) -> int:
    """Bytes of one element, rounded up for packed types."""
    try:
        return np.dtype(dtype).itemsize
    except TypeError:
        return 2 if dtype == "bfloat16" else 1


def _bytes(tensor: Any) -> bytes:
    """The elements of a tensor; small ones may stand in typed fields instead of raw bytes."""
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    return b"" if tensor.data_location == 1 else _array(tensor).tobytes()  # 1: in a file of its own


def _array(tensor: Any) -> Any:
    from onnx import numpy_helper

    return numpy_helper.to_array(tensor)


def _is_parameter(tensor: Any) -> bool:
    """Weights and biases: floats and narrow integers of any rank, int32 from one dimension on; int64 are shapes and axes."""
    dtype = _type_name(tensor.data_type)
    return dtype not in ("int64", "bool", "string") and (dtype != "int32" or len(tensor.dims) > 0)


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx.helper import get_attribute_value

    return next((get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _attributes(node: Any) -> str:
    def listed() -> Iterator[str]:
        if kernel := _attribute(node, "kernel_shape", None):
            yield "×".join(map(str, kernel))
        strides = _attribute(node, "strides", [])
        if any(s != 1 for s in strides):
            yield f"stride {'×'.join(map(str, strides)) if len(set(strides)) > 1 else strides[0]}"
        if (groups := _attribute(node, "group", 1)) != 1:
            yield f"groups {groups}"
        if (axis := _attribute(node, "axis", None)) is not None and node.op_type not in _QUANTIZERS:
            yield f"axis {axis}"

    return ", ".join(listed())


def _metadata(model: Any) -> dict[str, str]:
    out = {p.key: p.value for p in model.metadata_props}
    producer = f"{model.producer_name} {model.producer_version}".strip()
    opsets = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
    return {**({"producer": producer} if producer else {}), "opset": opsets, **out}


def _at_one(size: Dimension) -> int:
    """A dimension where those that the caller chooses are 1: ``"16*N"`` is 16."""
    if isinstance(size, int):
        return size
    multiple = re.fullmatch(r"(\d+)\*\w+", size or "")
    return int(multiple[1]) if multiple else 1


def _named(parameter: str) -> str | None:
    """The file's own name of a dimension; shape inference numbers those that it can't know."""
    return parameter if parameter and not parameter.startswith("unk__") else None
