"""Products of constant matrices with the spatial axes of an image or a signal."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from edgekit.export.tflite.legalize.base import Build
from edgekit.ir import QuantParams, Value, ops


def along_spatial_axes(
    build: Build,
    x: Value,
    matrices: Sequence[Value | None],
    quant: QuantParams | None = None,
) -> Value:
    """x (N, C, *spatial) multiplied along each spatial axis by a matrix (out, in), or left alone where there is None.

    The matrix is the first factor and x stands channels-last, as its neighbours hold it: nothing is transposed. Results have
    the parameters of x, the last one ``quant``.

    Given::   %x: [N, C, H, W], @rows: [h, H], @columns: [w, W]
    Result::  %r = reshape(permute(%x, (0, 2, 3, 1)), (N, H, W * C))
              %h = reshape(matmul(@rows, %r), (N, h, W, C))
              %y = permute(matmul(@columns, %h), (0, 3, 1, 2))
    """
    rank, given = x.type.rank, x.quant
    multiplied = [index for index, matrix in enumerate(matrices) if matrix is not None]
    y = build(ops.Permute((0, *range(2, rank), 1)), x, quant=given)
    for index, matrix in enumerate(matrices):
        if matrix is None:
            continue
        parameters = quant if index == multiplied[-1] else given
        shape, axis = y.type.shape, index + 1
        tail = shape[axis + 1 :]
        if len(tail) == 1:
            y = build(ops.Matmul(), matrix, y, quant=parameters)
            continue
        flat = prod(size for size in tail if isinstance(size, int))
        y = build(ops.Reshape((*shape[: axis + 1], flat)), y, quant=given)
        y = build(ops.Matmul(), matrix, y, quant=parameters)
        y = build(ops.Reshape((*shape[:axis], matrix.type.shape[0], *tail)), y, quant=parameters)
    return build(ops.Permute((0, rank - 1, *range(1, rank - 1))), y, quant=y.quant)
