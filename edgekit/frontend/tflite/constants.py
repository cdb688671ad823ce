"""Constants of a file as torch tensors, and its quantisation as the graph's.

Integers become the real numbers that they mean; their parameters stand beside them. Bytes are signed in the graph: 8-bit
unsigned parameters have 128 less as their zero point, which is the same function.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.errors import InputError, Unsupported
from edgekit.formats.tflite.model import NUMPY_OF, Tensor
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.frontend.tflite.sparse import dense
from edgekit.ir.quant import QuantParams

#: Element types of the graph.
DTYPES: dict[TensorType, torch.dtype] = {
    TensorType.FLOAT32: torch.float32,
    TensorType.FLOAT16: torch.float16,
    TensorType.FLOAT64: torch.float64,
    TensorType.INT8: torch.int8,
    TensorType.UINT8: torch.uint8,
    TensorType.INT16: torch.int16,
    TensorType.INT32: torch.int32,
    TensorType.INT64: torch.int64,
    TensorType.BOOL: torch.bool,
}

_QUANTIZED: dict[TensorType, str] = {
    TensorType.INT2: "int2",
    TensorType.INT4: "int4",
    TensorType.INT8: "int8",
    TensorType.UINT8: "uint8",
    TensorType.INT16: "int16",
    TensorType.INT32: "int32",
    TensorType.INT64: "int64",
}


def element_type(tensor: Tensor) -> torch.dtype:
    """The type that a tensor has in the graph: float for everything quantised.

    Raises:
        Unsupported: strings, resources, complex numbers and the like.
    """
    if tensor.quantization is not None and tensor.type in _QUANTIZED:
        return torch.float32
    if tensor.type not in DTYPES:
        raise Unsupported(
            f"the tensor '{tensor.name}' holds {tensor.type.name.lower()} elements, which the graph does not have",
            where=tensor.name,
            hint="cut the model before it: pre- and post-processing belong into the app",
        )
    return DTYPES[tensor.type]


def quantization_of(tensor: Tensor) -> QuantParams | None:
    """The parameters of a tensor; None for one that is not quantised.

    Raises:
        InputError: scales that are not positive numbers, or not as many as there are channels.
    """
    found = tensor.quantization
    if found is None or tensor.type not in _QUANTIZED:
        return None
    dtype = _QUANTIZED[tensor.type]
    scale, zero = tuple(found.scale.tolist()), tuple(int(z) for z in found.zero_point)
    axis = None if len(scale) == 1 else found.axis
    if axis is not None and not (0 <= axis < len(tensor.shape) and len(scale) == tensor.shape[axis]):
        raise _damaged(tensor, f"{len(scale)} scales for axis {axis} of {list(tensor.shape)}")
    if dtype == "uint8" and tensor.data is None:
        dtype, zero = "int8", tuple(z - 128 for z in zero)
    try:
        return QuantParams(dtype, scale, zero, axis)
    except ValueError as error:
        raise _damaged(tensor, str(error)) from error


def constant_of(tensor: Tensor) -> tuple[torch.Tensor, QuantParams | None]:
    """The real numbers of a constant, and its parameters.

    Raises:
        InputError: its bytes do not fit its shape, or its parameters are none.
    """
    quant = quantization_of(tensor)
    stored = _stored(tensor)
    if quant is None:
        return torch.from_numpy(np.array(stored, copy=True)), None
    shape = [1] * stored.ndim
    if quant.axis is not None:
        shape[quant.axis] = -1
    wide = stored.itemsize > 2  # a bias: its 32 bits times a scale want more than float32 on the way
    scale: NDArray[Any] = np.array(quant.scale, np.float64 if wide else np.float32).reshape(shape)
    zero: NDArray[Any] = np.array(quant.zero_point, np.int64 if wide else np.int32).reshape(shape)
    integers: NDArray[Any] = stored.astype(zero.dtype) - zero
    real = np.asarray(integers.astype(scale.dtype) * scale, np.float32)
    return torch.from_numpy(real), _for_weights(quant, integers)


def _for_weights(quant: QuantParams, integers: NDArray[Any]) -> QuantParams:
    """The parameters in the graph's types; unsigned bytes around a zero point are signed ones around zero if they fit."""
    if quant.dtype == "uint8":
        low, high = (int(integers.min()), int(integers.max())) if integers.size else (0, 0)
        if low >= -128 and high <= 127:
            return QuantParams("int8", quant.scale, (0,) * len(quant.scale), quant.axis, narrow=low > -128)
        return quant
    symmetric = quant.dtype in ("int8", "int4", "int2") and not any(quant.zero_point)
    if symmetric and integers.size and int(integers.min()) > {"int8": -128, "int4": -8, "int2": -2}[quant.dtype]:
        return QuantParams(quant.dtype, quant.scale, quant.zero_point, quant.axis, narrow=True)
    return quant


def _stored(tensor: Tensor) -> NDArray[np.generic]:
    """The elements as they stand in the file, in the tensor's shape."""
    assert tensor.data is not None
    packed = {TensorType.INT4: 4, TensorType.INT2: 2}
    if tensor.sparsity is not None:
        return dense(tensor)
    if tensor.type not in NUMPY_OF and tensor.type not in packed:
        raise Unsupported(
            f"the constant '{tensor.name}' has elements of the type {tensor.type.name.lower()}",
            where=tensor.name,
            hint="convert the model in float32",
        )
    width = packed.get(tensor.type) or 8 * NUMPY_OF[tensor.type].itemsize
    needed = (prod(tensor.shape) * width + 7) // 8
    if len(tensor.data) != needed:
        raise _damaged(tensor, f"{len(tensor.data)} bytes for a {tensor.type.name} tensor of {list(tensor.shape)}")
    return tensor.array()


def _damaged(tensor: Tensor, what: str) -> InputError:
    return InputError(
        f"the tensor '{tensor.name}' of the file is damaged: {what}",
        where=tensor.name,
        hint="convert or download the file again",
    )
