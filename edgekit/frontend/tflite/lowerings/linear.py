"""Matrix products."""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from edgekit.formats.tflite.schema_generated import BuiltinOperator as Op
from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, plain
from edgekit.frontend.tflite.table import Result, lowers
from edgekit.ir import Value, ops
from edgekit.ir.types import Batch, Dim


@lowers(Op.FULLY_CONNECTED)
def fully_connected(
    ctx: Lowering,
    input: Held,
    weights: Held,
    bias: Held | None = None,
    *,
    fused_activation_function: int = 0,
    keep_num_dims: bool = False,
) -> Result:
    """weights (O, I). Without ``keep_num_dims`` the input becomes a matrix first, whatever its dimensions."""
    if weights.rank != 2 or not isinstance(weights.shape[1], int) or weights.shape[1] < 1:
        raise ctx.damaged(f"weights {weights.shape}")
    width = weights.shape[1]
    x = ctx.plain(input)
    if not keep_num_dims and (x.type.rank != 2 or x.shape[1] != width):
        x = ctx.reshape(x, (_rows(ctx, x.shape, width), width))
    matrix = ctx.plain(weights)
    if not ctx.is_known(matrix):
        product = ctx.add(ops.Matmul(transpose_b=True), x, matrix)
        total = product if bias is None else ctx.add(ops.Add(), product, ctx.plain(bias))
        return ctx.activated(plain(total), fused_activation_function)
    x, columns = without_transpose(ctx, x)
    if columns is not None:
        matrix = _with_columns(ctx, matrix, columns)
    weight = ctx.parameter(matrix, "weight")
    added = ctx.bias(bias, x, weight, 0)
    return plain(ctx.with_activation(ops.Linear(), fused_activation_function, x, weight, added))


@lowers(Op.BATCH_MATMUL)
def batch_matmul(ctx: Lowering, x: Held, y: Held, *, adj_x: bool = False, adj_y: bool = False) -> Result:
    """With a constant matrix it is a linear layer."""
    a = ctx.plain(_swapped(x) if adj_x else x)
    b = _swapped(y) if adj_y else y
    if ctx.is_known(b.value) and b.rank == 2:
        return plain(ctx.add(ops.Linear(), a, ctx.parameter(ctx.plain(_swapped(b)), "weight"), None))
    if adj_y:
        return plain(ctx.add(ops.Matmul(transpose_b=True), a, ctx.plain(y)))
    return plain(ctx.add(ops.Matmul(), a, ctx.plain(y)))


def _swapped(x: Held) -> Held:
    """The last two dimensions exchanged."""
    return Held(x.value, (*x.order[:-2], x.order[-1], x.order[-2]))


def _rows(ctx: Lowering, shape: tuple[Dim, ...], width: int) -> Dim:
    total = prod(d.multiple if isinstance(d, Batch) else d for d in shape)
    if total % width:
        raise ctx.damaged(f"{shape} as rows of {width}")
    return Batch(total // width) if any(isinstance(d, Batch) for d in shape) else total // width


def without_transpose(ctx: Lowering, x: Value) -> tuple[Value, np.ndarray[tuple[int], np.dtype[np.int64]] | None]:
    """A flattened image in the order that it has channels-first, and which column of the weights each element meets.

    Flattening is the one place where the order of axes shows: the columns of the matrix take it up.
    """
    flat = x.producer
    turned = flat.input(0).producer if flat is not None and isinstance(flat.op, ops.Reshape) and x.type.rank == 2 else None
    if turned is None or not isinstance(turned.op, ops.Permute) or turned.op.dims[0] != 0:
        return x, None
    image = turned.output
    if image.shape[0] != x.shape[0] or turned.input(0).is_constant:
        return x, None
    sizes = [int(size) for size in image.shape[1:]]
    places = np.arange(prod(sizes), dtype=np.int64).reshape(sizes)
    axes = [turned.op.dims.index(axis) - 1 for axis in range(1, len(turned.op.dims))]
    return ctx.reshape(turned.input(0), x.shape), places.transpose(axes).reshape(-1)


def _with_columns(ctx: Lowering, matrix: Value, columns: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Value:
    made = ctx.constant(matrix.tensor[:, torch.from_numpy(np.ascontiguousarray(columns))], "matrix")
    made.quant = matrix.quant if matrix.quant is None or matrix.quant.axis != 1 else None
    return made
