"""Small models for the tests of this folder, written as plain data."""

from __future__ import annotations

import numpy as np

from edgekit.formats.tflite.model import Model, Operator, Options, Quantization, Signature, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write


def unary(code: BuiltinOperator = BuiltinOperator.LOGISTIC, shape: tuple[int, ...] = (1, 4), custom: str = "") -> bytes:
    """One operator on float32."""
    tensors = (Tensor("x", shape, TensorType.FLOAT32), Tensor("y", shape, TensorType.FLOAT32))
    graph = Subgraph(tensors, (0,), (1,), (Operator(code, (0,), (1,), custom_code=custom),))
    return write(Model((graph,), (Signature("serving_default", {"x": 0}, {"y": 1}),)))


def dense(inputs: int, outputs: int, seed: int = 0) -> bytes:
    """One fully connected layer in int8."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (outputs, inputs), dtype=np.int8)

    def scale(value: float) -> Quantization:
        return Quantization(np.array([value], np.float32), np.array([0], np.int64))

    tensors = (
        Tensor("x", (1, inputs), TensorType.INT8, quantization=scale(0.05)),
        Tensor("w", weights.shape, TensorType.INT8, weights.tobytes(), scale(0.01)),
        Tensor("b", (outputs,), TensorType.INT32, bytes(4 * outputs), scale(0.0005)),
        Tensor("y", (1, outputs), TensorType.INT8, quantization=scale(0.5)),
    )
    operator = Operator(BuiltinOperator.FULLY_CONNECTED, (0, 1, 2), (3,), Options("FullyConnectedOptions"), version=4)
    return write(Model((Subgraph(tensors, (0,), (3,), (operator,)),), (Signature("serving_default", {"x": 0}, {"y": 3}),)))
