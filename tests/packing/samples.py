"""Files to pack, written without a trained model: their weights are drawn as those of pruned and quantised networks look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.formats.tflite.model import Model, Operator, Quantization, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write


def clustered(rows: int, columns: int, seed: int = 0) -> NDArray[np.float32]:
    """Float weights of which one in twelve is not zero and has one of 16 values; columns in the middle have more of them."""
    rng = np.random.default_rng(seed)
    share = np.exp(-(((np.arange(columns) / columns - 0.5) * 4) ** 2)) / 6
    values = np.linspace(-0.6, 0.7, 16).astype(np.float32)
    picked = values[np.clip(rng.normal(7.5, 3, (rows, columns)).round(), 0, 15).astype(int)]
    return np.where(rng.random((rows, columns)) < share, picked, np.float32(0)).astype(np.float32)


def float_file(first: NDArray[np.float32], seed: int = 0) -> bytes:
    """A TFLite file of two float layers: the given weights (O, I), then ten outputs."""
    rng = np.random.default_rng(seed)
    hidden, inputs = first.shape
    second = clustered(10, hidden, seed + 1)
    biases = [rng.normal(0, 0.1, n).astype(np.float32) for n in (hidden, 10)]
    kind = TensorType.FLOAT32
    tensors = (
        Tensor("x", (1, inputs), kind),
        Tensor("w1", first.shape, kind, first.tobytes()),
        Tensor("b1", (hidden,), kind, biases[0].tobytes()),
        Tensor("h", (1, hidden), kind),
        Tensor("w2", second.shape, kind, second.tobytes()),
        Tensor("b2", (10,), kind, biases[1].tobytes()),
        Tensor("y", (1, 10), kind),
    )
    dense = BuiltinOperator.FULLY_CONNECTED
    operators = (Operator(dense, (0, 1, 2), (3,)), Operator(dense, (3, 4, 5), (6,)))
    return write(Model((Subgraph(tensors, (0,), (6,), operators),)))


def int8_file(outputs: int = 24, inputs: int = 40, seed: int = 0) -> bytes:
    """A TFLite file of one int8 layer whose scales stand per channel: those of the bias are a multiple of the weights'."""
    rng = np.random.default_rng(seed)
    weights = np.clip(rng.normal(0, 40, (outputs, inputs)), -127, 127).astype(np.int8)
    scale = rng.uniform(0.001, 0.01, outputs).astype(np.float32)
    zeros = np.zeros(outputs, np.int64)
    bias = rng.integers(-4000, 4000, outputs, np.int32)
    io = Quantization(np.array([0.0173], np.float32), np.zeros(1, np.int64))
    tensors = (
        Tensor("x", (1, inputs), TensorType.INT8, None, io),
        Tensor("b", (outputs,), TensorType.INT32, bias.tobytes(), Quantization(np.float32(0.0173) * scale, zeros)),
        Tensor("w", weights.shape, TensorType.INT8, weights.tobytes(), Quantization(scale, zeros)),
        Tensor("y", (1, outputs), TensorType.INT8, None, io),
    )
    return write(Model((Subgraph(tensors, (0,), (3,), (Operator(BuiltinOperator.FULLY_CONNECTED, (0, 2, 1), (3,)),)),)))


def onnx_like(weights: NDArray[np.float32]) -> bytes:
    """The protobuf of an ONNX file with one initialiser, and nothing that would make it run."""
    content = weights.tobytes()
    tensor = b"".join(_field(1, number) for number in weights.shape) + _field(2, 1) + _field(8, b"w") + _field(9, content)
    return _field(1, 8) + _field(7, _field(2, b"graph") + _field(5, tensor))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def every_kind() -> dict[str, bytes]:
    """Files whose archives use every method between them."""
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 1, (9, 40)).astype(np.float32)
    pruned = np.where(rng.random((20, 220)) < 0.07, rng.normal(0, 1, (20, 220)), 0).astype(np.float32)
    return {
        "nothing special": b"hello, hello, hello; " * 9,
        "one byte": b"x",
        "noise": rng.bytes(700),
        "zeros": bytes(100_000),
        "clustered weights": float_file(clustered(12, 64)),
        "dense float weights": float_file(noise),
        "pruned float weights": float_file(pruned),
        "int8 weights": int8_file(16, 30),
        "onnx": onnx_like(clustered(12, 50)),
        "cut off": float_file(clustered(6, 30))[:-500],
    }
