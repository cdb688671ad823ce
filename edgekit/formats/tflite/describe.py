"""A .tflite file as a ``Description``: ops, tensors, costs and bytes, without a runtime."""

from __future__ import annotations

from math import prod

import numpy as np

from edgekit.formats.description import Description, Dimension, OpInfo, TensorInfo, edges, peak_memory, total_macs
from edgekit.formats.tflite.inlining import inlined
from edgekit.formats.tflite.model import NUMPY_OF, Model, Operator, Subgraph, Tensor
from edgekit.formats.tflite.read import read
from edgekit.formats.tflite.schema_generated import ActivationFunctionType, Padding, TensorType
from edgekit.formats.tflite.signatures import signature_warning
from edgekit.formats.tflite.sizes import sizes


def describe(data: bytes, name: str) -> Description:
    """What a file holds; the costs are those of one run at the file's own batch that takes every branch.

    Raises:
        InputError: not a TFLite file, or a damaged one.
    """
    model = read(data, where=name)
    graph = inlined(model)
    read_by_ops = {i for operator in graph.operators for i in operator.inputs if i >= 0}
    constants = {i: graph.tensors[i] for i in sorted(read_by_ops) if graph.tensors[i].data is not None}
    distinct = {(id(t.data) if t.data is None else _place(t), t.shape): t for t in constants.values()}
    ops = tuple(_op(operator, graph) for operator in graph.operators)
    return Description(
        name=name,
        format="tflite",
        inputs=_ends(model, "inputs"),
        outputs=_ends(model, "outputs"),
        ops=ops,
        parameters=sum(prod(t.shape) for t in distinct.values() if _is_parameter(t)),
        weight_bytes=sum(len(t.data or b"") for t in distinct.values()),
        macs=total_macs(ops),
        peak_memory_bytes=_peak(graph),
        file_bytes=len(data),
        sizes=sizes(data),
        metadata=_metadata(model),
        edges=edges(_steps(graph), graph.inputs, graph.outputs),
    )


def type_name(kind: TensorType) -> str:
    """numpy's name of a tensor type, or the schema's in lower case."""
    return NUMPY_OF[kind].name if kind in NUMPY_OF else kind.name.lower()


def _place(tensor: Tensor) -> tuple[int, int]:
    """Which bytes a constant holds: equal for two tensors that share a buffer."""
    view = np.frombuffer(tensor.data or b"", np.uint8)
    return int(view.__array_interface__["data"][0]), len(view)


def _is_parameter(tensor: Tensor) -> bool:
    """Weights and biases; shapes, axes and paddings are int32 without a scale."""
    integers = (TensorType.INT32, TensorType.INT64)
    return tensor.type not in (*integers, TensorType.BOOL, TensorType.STRING) or tensor.quantization is not None


def _shape(tensor: Tensor) -> tuple[Dimension, ...]:
    if len(tensor.shape_signature) == len(tensor.shape):
        return tuple(None if size < 0 else size for size in tensor.shape_signature)
    return tensor.shape


def _ends(model: Model, side: str) -> tuple[TensorInfo, ...]:
    indices: tuple[int, ...] = getattr(model.main, side)
    signature = next((s for s in model.signatures if s.subgraph == 0), None)
    names = {index: name for name, index in getattr(signature, side).items()} if signature else {}
    return tuple(_info(model.main.tensors[i], names.get(i, model.main.tensors[i].name)) for i in indices)


def _info(tensor: Tensor, name: str) -> TensorInfo:
    quant = tensor.quantization
    if quant is None:
        return TensorInfo(name, _shape(tensor), type_name(tensor.type))
    return TensorInfo(
        name, _shape(tensor), type_name(tensor.type), float(quant.scale[0]), int(quant.zero_point[0]), len(quant.scale)
    )


def _op(operator: Operator, graph: Subgraph) -> OpInfo:
    outputs = [graph.tensors[i] for i in operator.outputs]
    constants = {i: graph.tensors[i] for i in operator.inputs if i >= 0 and graph.tensors[i].data is not None}
    return OpInfo(
        kind=operator.name,
        name=outputs[0].name if outputs else "",
        shapes=tuple(_shape(tensor) for tensor in outputs),
        dtype=type_name(outputs[0].type) if outputs else "",
        macs=_macs(operator, graph),
        parameters=sum(prod(t.shape) for t in constants.values() if _is_parameter(t)),
        weight_bytes=sum(len(t.data or b"") for t in constants.values()),
        attributes=_attributes(operator, graph),
    )


def _macs(operator: Operator, graph: Subgraph) -> int:
    """Products of a weight (or of a second matrix) with an input; other ops have none."""
    tensors = [graph.tensors[i] if i >= 0 else None for i in operator.inputs]
    shapes = [t.shape if t is not None else () for t in tensors]
    out = prod(graph.tensors[operator.outputs[0]].shape) if operator.outputs else 0
    match operator.name:
        case "CONV_2D" | "CONV_3D" if len(shapes) > 1:
            return out * prod(shapes[1][1:] if operator.name == "CONV_2D" else shapes[1][:-1])
        case "DEPTHWISE_CONV_2D" if len(shapes) > 1:
            return out * prod(shapes[1][1:3])
        case "FULLY_CONNECTED" if len(shapes) > 1:
            return out * (shapes[1][-1] if shapes[1] else 1)
        case "TRANSPOSE_CONV" if len(shapes) > 2:
            return prod(shapes[2]) * prod(shapes[1][:3])
        case "BATCH_MATMUL" if len(shapes) > 1 and len(shapes[0]) > 1:
            adjoint = bool((operator.options.fields if operator.options else {}).get("adj_x", False))
            return out * shapes[0][-2 if adjoint else -1]
        case "UNIDIRECTIONAL_SEQUENCE_LSTM" | "UNIDIRECTIONAL_SEQUENCE_RNN" | "BIDIRECTIONAL_SEQUENCE_LSTM" if shapes[0]:
            steps = prod(shapes[0][:-1])
            return steps * sum(prod(t.shape) for t in tensors[1:] if t is not None and t.data is not None and len(t.shape) == 2)
        case "SVDF" if len(shapes) > 2:
            return prod(shapes[0][:-1]) * (prod(shapes[1]) + prod(shapes[2]))
    return 0


def _attributes(operator: Operator, graph: Subgraph) -> str:
    fields = operator.options.fields if operator.options else {}
    parts: list[str] = []
    weights = graph.tensors[operator.inputs[1]].shape if len(operator.inputs) > 1 and operator.inputs[1] >= 0 else ()
    if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV") and len(weights) == 4:
        parts.append(f"{weights[1]}×{weights[2]}")
    if "filter_height" in fields:
        parts.append(f"{fields['filter_height']}×{fields.get('filter_width', 0)}")
    height, width = fields.get("stride_h", 1), fields.get("stride_w", 1)
    if (height, width) != (1, 1) and "stride_w" in fields:
        parts.append(f"stride {height}" if height == width else f"stride {height}×{width}")
    if operator.options and any(f in operator.options.table for f in ("Conv2D", "Pool2D", "TransposeConv")):
        parts.append(Padding(int(fields.get("padding", 0))).name.lower())  # type: ignore[arg-type]
    if activation := fields.get("fused_activation_function"):
        parts.append(ActivationFunctionType(int(activation)).name.lower())  # type: ignore[arg-type]
    return ", ".join(parts)


def _peak(graph: Subgraph) -> int | None:
    """Activations alone; a persistent state (variable tensor) is alive all the time."""
    sizes_of = {i: t.nbytes for i, t in enumerate(graph.tensors) if t.data is None and not t.is_variable}
    state = sum(t.nbytes for t in graph.tensors if t.is_variable)
    return state + peak_memory(_steps(graph), sizes_of, graph.inputs, graph.outputs)


def _steps(graph: Subgraph) -> list[tuple[list[int], tuple[int, ...]]]:
    """What each operator reads and writes."""
    return [([i for i in op.inputs if i >= 0], op.outputs) for op in graph.operators]


def _metadata(model: Model) -> dict[str, str]:
    out = {"description": model.description} if model.description else {}
    for name, content in model.metadata.items():
        try:
            text = content.decode().rstrip("\0")
        except UnicodeDecodeError:
            text = ""
        out[name] = text if text.isprintable() and text else f"{len(content)} bytes"
    if model.signatures:
        out["signatures"] = ", ".join(signature.key for signature in model.signatures)
    if (said := signature_warning(model)) is not None:
        out["memory"] = said
    return out
