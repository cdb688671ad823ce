"""Element types: torch's, the quantised ones, and ONNX's numbers for them (``TensorProto.DataType``)."""

from __future__ import annotations

import torch

from edgekit.errors import Unsupported
from edgekit.ir.types import dtype_name

_NUMBERS: dict[torch.dtype, int] = {
    torch.float32: 1,
    torch.uint8: 2,
    torch.int8: 3,
    torch.int16: 5,
    torch.int32: 6,
    torch.int64: 7,
    torch.bool: 9,
    torch.float16: 10,
    torch.float64: 11,
    torch.bfloat16: 16,
}

#: ONNX's number of the type that holds two integers in a byte.
INT4 = 22

#: Quantised types, and the torch type that carries their integers until they are written.
QUANTIZED: dict[str, torch.dtype] = {
    "int4": torch.int8,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
}

#: The lowest opset whose QuantizeLinear and DequantizeLinear know a type; those that are not listed, every opset written.
SINCE: dict[str, int] = {"int4": 21, "int16": 21}


def onnx_type(dtype: torch.dtype) -> int:
    """ONNX's number of an element type; Unsupported where edgekit writes no such tensors."""
    if dtype not in _NUMBERS:
        raise Unsupported(
            f"tensors of {dtype_name(dtype)} can't be written to an ONNX file",
            hint="compute with float32; write complex numbers as pairs of real ones",
        )
    return _NUMBERS[dtype]


def quantized_type(name: str) -> torch.dtype:
    """The element type that carries integers of a quantised type; Unsupported for those that these opsets lack."""
    if name not in QUANTIZED:
        raise Unsupported(
            f"ONNX files of edgekit hold no {name} tensors",
            hint="quantise to int4, int8 or int16, or choose a TFLite target",
        )
    return QUANTIZED[name]


def integer_kind(name: str) -> int | None:
    """ONNX's number of a quantised type that has no torch type of its own, None for the others."""
    return INT4 if name == "int4" else None


def raw_bytes(data: torch.Tensor, kind: int | None = None) -> bytes:
    """The elements in row-major, little-endian order, as ``TensorProto.raw_data`` wants them.

    ``kind``: ``INT4`` packs int8 elements two to a byte, the first in the lower half.
    """
    if kind == INT4:
        flat = data.detach().cpu().reshape(-1).to(torch.uint8) & 15
        flat = torch.cat([flat, flat.new_zeros(len(flat) % 2)])
        return bytes((flat[0::2] | (flat[1::2] << 4)).numpy().tobytes())
    data = data.detach().cpu().contiguous()
    if data.dtype == torch.bfloat16:
        data = data.view(torch.int16)  # numpy has no bfloat16
    array = data.numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
