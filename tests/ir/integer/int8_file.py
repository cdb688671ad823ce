"""An int8 TFLite file of another converter as a quantised graph: enough operators for the classic convolutional networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from edgekit.ir import Graph, N, QuantParams, TensorType, Value, ops

_NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items() if isinstance(number, int)}
_FUSED = {0: "none", 1: "relu", 3: "relu6"}
_DTYPES = {schema.TensorType.INT8: ("int8", np.int8), schema.TensorType.INT32: ("int32", np.int32)}


def read(content: bytes) -> tuple[Graph, dict[int, Value]]:
    """The first subgraph, with 4-D activations as NCHW, and its activations by the file's tensor index.

    Constants are their dequantised values.
    """
    file = _File(schema.ModelT.InitFromPackedBuf(content, 0))
    return file.graph, file.values


def _pads(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    if padding == schema.Padding.VALID:
        return 0, 0
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


class _File:
    def __init__(self, model: Any) -> None:
        self.model, self.tensors = model, model.subgraphs[0].tensors
        self.graph = Graph("file")
        self.values: dict[int, Value] = {}
        for index in model.subgraphs[0].inputs:
            value = self.graph.add_input(f"in{index}", TensorType(torch.float32, (N, *self.shape(index)[1:])))
            value.quant = self.quant(index)
            self.values[index] = value
        for op in model.subgraphs[0].operators:
            code = model.operatorCodes[op.opcodeIndex]
            name = _NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]
            value = getattr(self, name.lower())(op, op.builtinOptions)
            value.quant = self.quant(op.outputs[0])
            self.values[op.outputs[0]] = value
        self.graph.outputs = [self.values[index] for index in model.subgraphs[0].outputs]

    def shape(self, index: int) -> tuple[int, ...]:
        shape = tuple(int(size) for size in self.tensors[index].shape)
        return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape

    def quant(self, index: int, axis: int = 0) -> QuantParams:
        tensor = self.tensors[index]
        scales, zeros = tensor.quantization.scale, tensor.quantization.zeroPoint
        per_channel = len(scales) > 1
        return QuantParams(
            _DTYPES[tensor.type][0],
            tuple(map(float, scales)),
            tuple(map(int, zeros)),
            axis if per_channel else None,
        )

    def constant(self, index: int, order: tuple[int, ...] | None = None, axis: int = 0) -> Value:
        tensor = self.tensors[index]
        raw = self.model.buffers[tensor.buffer].data.tobytes()
        data = np.frombuffer(raw, _DTYPES[tensor.type][1]).reshape([int(size) for size in tensor.shape])
        if order is not None:
            data = data.transpose(order)
        quant = self.quant(index, axis)
        scale, zero = quant.tensors(data.ndim)
        # In double precision, so that large biases keep every bit.
        value = self.graph.constant((torch.from_numpy(data.copy()).to(torch.float64) - zero) * scale.to(torch.float64))
        value.quant = quant
        return value

    def activation(self, options: Any) -> str:
        return _FUSED[options.fusedActivationFunction]

    def convolution(self, op: Any, options: Any, weight: Value, groups: int) -> Value:
        x = self.values[op.inputs[0]]
        sizes, kernel, stride = x.shape[2:], weight.shape[2:], (options.strideH, options.strideW)
        pads = tuple(_pads(*args, options.padding) for args in zip(sizes, kernel, stride, strict=True))
        node = ops.Conv2d(stride, pads, groups=groups, activation=self.activation(options))
        shape = (N, *self.shape(op.outputs[0])[1:])
        types = [TensorType(torch.float32, shape)]
        return self.graph.add(node, x, weight, self.constant(op.inputs[2]), types=types)

    def conv_2d(self, op: Any, options: Any) -> Value:
        return self.convolution(op, options, self.constant(op.inputs[1], (0, 3, 1, 2)), 1)

    def depthwise_conv_2d(self, op: Any, options: Any) -> Value:
        weight = self.constant(op.inputs[1], (3, 0, 1, 2))
        return self.convolution(op, options, weight, self.values[op.inputs[0]].tensor_shape[1])

    def fully_connected(self, op: Any, options: Any) -> Value:
        weight, bias = self.constant(op.inputs[1]), self.constant(op.inputs[2])
        x = self.values[op.inputs[0]]
        types = [TensorType(torch.float32, (N, *weight.shape[:1]))]
        return self.graph.add(ops.Linear(self.activation(options)), x, weight, bias, types=types)

    def add(self, op: Any, options: Any) -> Value:
        return self.graph.add(ops.Add(self.activation(options)), *[self.values[i] for i in op.inputs])

    def average_pool_2d(self, op: Any, options: Any) -> Value:
        assert options.padding == schema.Padding.VALID
        kernel, stride = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        return self.graph.add(ops.AvgPool2d(kernel, stride, (0, 0)), self.values[op.inputs[0]])

    def reshape(self, op: Any, options: Any) -> Value:
        x = self.values[op.inputs[0]]
        assert x.type.rank == 2 or x.tensor_shape[2:] == (1, 1)  # otherwise the two layouts differ
        return self.graph.add(ops.Reshape((N, *self.shape(op.outputs[0])[1:])), x)

    def softmax(self, op: Any, options: Any) -> Value:
        return self.graph.add(ops.Softmax(-1), self.values[op.inputs[0]])
