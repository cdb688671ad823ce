"""ONNX's numbers of element types (``TensorProto.DataType``) and what the graph has for them."""

from __future__ import annotations

import torch

#: Types that a value of the graph may have.
TORCH: dict[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}

_OTHERS = {
    0: "undefined", 4: "uint16", 8: "string", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
    17: "float8e4m3fn", 18: "float8e4m3fnuz", 19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4e2m1", 24: "float8e8m0", 25: "uint2", 26: "int2",
}  # fmt: skip


def type_name(number: int) -> str:
    """``1`` -> ``"float32"``."""
    return str(TORCH[number]).removeprefix("torch.") if number in TORCH else _OTHERS.get(number, f"element type {number}")
