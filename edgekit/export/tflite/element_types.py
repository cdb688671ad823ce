"""Element types of the graph and of the file."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.errors import Unsupported
from edgekit.formats.tflite.model import Quantization
from edgekit.formats.tflite.schema_generated import TensorType
from edgekit.ir import QuantParams
from edgekit.ir.types import dtype_name

_OF_TORCH: dict[torch.dtype, TensorType] = {
    torch.float32: TensorType.FLOAT32,
    torch.int8: TensorType.INT8,
    torch.uint8: TensorType.UINT8,
    torch.int16: TensorType.INT16,
    torch.int32: TensorType.INT32,
    torch.int64: TensorType.INT64,
    torch.bool: TensorType.BOOL,
}

_OF_QUANT: dict[str, TensorType] = {
    "int2": TensorType.INT2,
    "int4": TensorType.INT4,
    "int8": TensorType.INT8,
    "uint8": TensorType.UINT8,
    "int16": TensorType.INT16,
    "int32": TensorType.INT32,
    "int64": TensorType.INT64,
}


def tensor_type(dtype: torch.dtype, quant: QuantParams | None = None) -> TensorType:
    """The file's type of a value.

    Raises:
        Unsupported: TFLite's kernels do not compute with this type.
    """
    if quant is not None:
        if quant.dtype not in _OF_QUANT:
            raise Unsupported(f"TFLite files of edgekit hold no {quant.dtype}", hint="quantise to int8 or int4")
        return _OF_QUANT[quant.dtype]
    if dtype not in _OF_TORCH:
        raise Unsupported(
            f"TFLite's kernels do not compute with {dtype_name(dtype)}",
            hint="convert the model to float32 first: model.float()",
        )
    return _OF_TORCH[dtype]


def quantization(quant: QuantParams | None, axis: int | None = None) -> Quantization | None:
    """The file's quantisation; ``axis`` is where the channels stand in the file's tensor."""
    if quant is None:
        return None
    place = (quant.axis if axis is None else axis) if quant.axis is not None else 0
    return Quantization(np.array(quant.scale, np.float32), np.array(quant.zero_point, np.int64), 0 if place is None else place)


def to_numpy(tensor: torch.Tensor) -> NDArray[np.generic]:
    """The values of a constant as a contiguous array."""
    array: NDArray[np.generic] = tensor.detach().cpu().contiguous().numpy()
    return array
