"""Constants and tensors that are made of sizes alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.onnx.element_types import TORCH, type_name
from edgekit.frontend.onnx.table import Result, lowers
from edgekit.ir import Value


@lowers("Constant")
def constant(
    ctx: Lowering,
    *,
    value: torch.Tensor | None = None,
    value_float: float | None = None,
    value_floats: Sequence[float] | None = None,
    value_int: int | None = None,
    value_ints: Sequence[int] | None = None,
    value_string: str | None = None,
    value_strings: Sequence[str] | None = None,
) -> Result:
    """A tensor in the file."""
    if value is not None:
        return ctx.constant(value)
    forms: list[tuple[Any, torch.dtype]] = [
        (value_float, torch.float32),
        (value_floats, torch.float32),
        (value_int, torch.int64),
        (value_ints, torch.int64),
    ]
    for numbers, dtype in forms:
        if numbers is not None:
            return ctx.constant(torch.tensor(numbers, dtype=dtype))
    raise ctx.refused("'Constant' holds no numbers", "texts have no form in the graph")


@lowers("ConstantOfShape")
def constant_of_shape(ctx: Lowering, shape: Operand, *, value: torch.Tensor | None = None) -> Result:
    """Full of one number, zero by default."""
    dims = ctx.dims(shape, "shape")
    number = torch.zeros(1) if value is None else value
    ctx.need(number.numel() == 1, f"has {number.numel()} values")
    ctx.need(all(not isinstance(d, int) or d >= 0 for d in dims), f"has the sizes {dims}")
    return ctx.filled(dims, number.reshape(()).item(), number.dtype)


@lowers("Range")
def range_(ctx: Lowering, start: Operand, limit: Operand, delta: Operand) -> Result:
    """start, start + delta, ... below the limit, all known while loading."""
    first, last, step = (ctx.known(x, "bounds").reshape(()) for x in (start, limit, delta))
    ctx.need(float(step) != 0, "has the step 0")
    count = max(0, ceil((last.item() - first.item()) / step.item()))
    ctx.claim(16 * count)
    return ctx.constant(first + torch.arange(count, dtype=torch.int64).to(step.dtype) * step)


@lowers("EyeLike")
def eye_like(ctx: Lowering, x: Value, *, dtype: int | None = None, k: int = 0) -> Result:
    """Ones on the k-th diagonal."""
    ctx.need(x.type.rank == 2, f"of {x.type}")
    ctx.need(dtype is None or dtype in TORCH, f"makes {type_name(dtype or 0)}")
    rows, columns = ctx.fixed(x, 0), ctx.fixed(x, 1)
    ctx.claim(16 * rows * columns)
    on = torch.arange(columns)[None] - torch.arange(rows)[:, None] == k
    return ctx.constant(on.to(x.type.dtype if dtype is None else TORCH[dtype]))
