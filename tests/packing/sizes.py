"""Files of a network at several widths, as a build of a slimmable one writes them, without a training."""

from __future__ import annotations

import numpy as np

from edgekit.formats.tflite.model import Model, Operator, Quantization, Subgraph, Tensor
from edgekit.formats.tflite.schema_generated import BuiltinOperator, TensorType
from edgekit.formats.tflite.write import write

_INPUTS, _HIDDEN, _OUTPUTS = 12, 16, 8


def int8_sizes(widths: tuple[float, ...] = (1.0, 0.75, 0.5), seed: int = 0) -> dict[str, bytes]:
    """Two int8 layers with scales per channel: a width has the first integers, and scales and biases much like the widest's."""
    return {
        f"{width:g}": _file(width, np.random.default_rng(seed), np.random.default_rng(int(100 * width))) for width in widths
    }


def _file(width: float, common: np.random.Generator, own: np.random.Generator) -> bytes:
    hidden = int(_HIDDEN * width)
    kind, integers = TensorType.INT8, TensorType.INT32
    tensors = [Tensor("x", (1, _INPUTS), kind, None, _per_tensor(own))]
    operators = []
    layers = (((_HIDDEN, _INPUTS), hidden, _INPUTS), ((_OUTPUTS, _HIDDEN), _OUTPUTS, hidden))
    for number, (whole, rows, columns) in enumerate(layers):
        weights = common.integers(-127, 128, whole, np.int8)[:rows, :columns]
        scale = common.uniform(0.001, 0.01, whole[0]).astype(np.float32)[:rows]
        real = common.normal(0, 2, whole[0])[:rows]
        if width < 1:
            scale = _short(scale * own.uniform(0.8, 1.2, rows).astype(np.float32))
            real = real + own.normal(0, 0.2, rows)
        at = len(tensors)
        before = tensors[-1].quantization
        assert before is not None
        scales = scale * np.float32(before.scale[0])
        biases = np.round(real / scales / 64).astype(np.int32) * 64
        zeros = np.zeros(rows, np.int64)
        tensors += [
            Tensor(f"b{number}", (rows,), integers, biases.tobytes(), Quantization(scales, zeros)),
            Tensor(f"w{number}", weights.shape, kind, weights.tobytes(), Quantization(scale, zeros)),
            Tensor(f"y{number}", (1, rows), kind, None, _per_tensor(own)),
        ]
        operators.append(Operator(BuiltinOperator.FULLY_CONNECTED, (at - 1, at + 1, at), (at + 2,)))
    return write(Model((Subgraph(tuple(tensors), (0,), (len(tensors) - 1,), tuple(operators)),)), regular=True)


def _per_tensor(own: np.random.Generator) -> Quantization:
    return Quantization(own.uniform(0.01, 0.1, 1).astype(np.float32), own.integers(-128, 128, 1))


def _short(scales: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """With eight leading bits."""
    return (scales.view(np.uint32) + 0x8000 & 0xFFFF0000).astype(np.uint32).view(np.float32)
