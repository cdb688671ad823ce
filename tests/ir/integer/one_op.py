"""One-operator TFLite files, written with the runtime's own object API and run under its reference kernels.

Independent of edgekit's writer, so that the simulation is compared with the runtime and with nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

TYPES: dict[str, tuple[int, Any]] = {
    "float32": (schema.TensorType.FLOAT32, np.float32),
    "int8": (schema.TensorType.INT8, np.int8),
    "uint8": (schema.TensorType.UINT8, np.uint8),
    "int32": (schema.TensorType.INT32, np.int32),
}


@dataclass
class Tensor:
    """One tensor of the file: a constant if ``constant``, else an input of the model (or its output)."""

    data: np.ndarray[Any, Any]
    scale: list[float] = field(default_factory=list)
    zero_point: list[int] = field(default_factory=list)
    axis: int = 0
    constant: bool = False


def _tensor(model: Any, tensor: Tensor, name: str) -> Any:
    t = schema.TensorT()
    t.name, t.shape = name, list(tensor.data.shape)
    t.shapeSignature = list(tensor.data.shape)
    t.type = TYPES[tensor.data.dtype.name][0]
    t.buffer = 0
    if tensor.constant:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), dtype=np.uint8)
        model.buffers.append(buffer)
        t.buffer = len(model.buffers) - 1
    if tensor.scale:
        q = schema.QuantizationParametersT()
        q.scale, q.zeroPoint, q.quantizedDimension = list(tensor.scale), list(tensor.zero_point), tensor.axis
        t.quantization = q
    return t


def build(code: int, inputs: list[Tensor | None], outputs: list[Tensor], options: Any = None, version: int = 1) -> bytes:
    """A flatbuffer with one operator. ``None`` stands for an optional input that is left out; outputs carry shape and type
    only.
    """
    model = schema.ModelT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, indices = [], []
    graph.inputs, graph.outputs = [], []
    for i, tensor in enumerate(inputs):
        if tensor is None:
            indices.append(-1)
            continue
        graph.tensors.append(_tensor(model, tensor, f"in{i}"))
        indices.append(len(graph.tensors) - 1)
        if not tensor.constant:
            graph.inputs.append(indices[-1])
    for i, tensor in enumerate(outputs):
        graph.tensors.append(_tensor(model, tensor, f"out{i}"))
        graph.outputs.append(len(graph.tensors) - 1)
    op = schema.OperatorT()
    op.inputs, op.outputs = indices, list(graph.outputs)
    if options is not None:
        name = type(options).__name__[:-1]
        op.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        op.builtinOptions = options
    graph.operators = [op]
    operator_code = schema.OperatorCodeT()
    operator_code.builtinCode = code
    operator_code.deprecatedBuiltinCode = min(code, 127)
    operator_code.version = version
    model.operatorCodes, model.subgraphs = [operator_code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def run(
    code: int,
    inputs: list[Tensor | None],
    outputs: list[Tensor],
    options: Any = None,
    version: int = 1,
    *,
    reference: bool = True,
) -> list[np.ndarray[Any, Any]]:
    """Builds the file and runs it on the inputs' own data, with LiteRT's reference kernels or its optimised ones without
    XNNPACK.
    """
    content = build(code, inputs, outputs, options, version)
    kernels = OpResolverType.BUILTIN_REF if reference else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    fed = [t for t in inputs if t is not None and not t.constant]
    for detail, tensor in zip(interpreter.get_input_details(), fed, strict=True):
        interpreter.set_tensor(detail["index"], tensor.data)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]).copy() for detail in interpreter.get_output_details()]
