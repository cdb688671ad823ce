"""Elements taken by an index of their own in every row, and diagonals."""

from __future__ import annotations

import torch

from edgekit.frontend.torch.context import Lowering, axis_of
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten

#: Positions that one element is looked for among, times elements that are taken, at most.
_MOST_COMPARED = 2**18


@lowers(aten.gather.default)
def gather(ctx: Lowering, self: Value, dim: int, index: Value, *, sparse_grad: bool = False) -> Result:
    """``y[i][j] = x[i][index[i][j]]``. The graph looks up one index for all samples; here every row has its own: the sum of
    the row where its positions equal the index, zero elsewhere.
    """
    rank = self.type.rank
    axis = axis_of(dim, rank)
    size = self.shape[axis]
    if not isinstance(size, int):
        raise ctx.refused(f"'{ctx.op_name}' takes samples of the batch", "gather along another dimension")
    x = self
    for other in range(rank):
        wanted = index.shape[other]
        if other != axis and wanted != x.shape[other]:
            if not isinstance(wanted, int) or not isinstance(x.shape[other], int):
                raise ctx.refused(f"'{ctx.op_name}' takes a part of the batch", "keep the batch whole")
            x = ctx.slice(x, other, 0, wanted)
    count = ctx.sizes_product(index.shape)
    compared = (count if isinstance(count, int) else count.multiple) * size
    ctx.need(
        compared <= _MOST_COMPARED, f"looks for {compared // size} elements among {size}", "take fewer, or behind the model"
    )
    last = [*(a for a in range(rank) if a != axis), axis]
    rows, places = ctx.permute(x, last), ctx.permute(index, last)
    # (..., taken, 1) against (size,)
    places = ctx.reshape(places, (*places.shape, 1))
    rows = ctx.reshape(rows, (*rows.shape[:-1], 1, size))
    hit = ctx.add(ops.Equal(), places, ctx.constant(torch.arange(size, dtype=index.type.dtype, device=ctx.device), "positions"))
    found = ctx.add(ops.Sum(axes=(rank,)), ctx.add(ops.Where(), hit, rows, ctx.scalar(0, self.type.dtype)))
    return ctx.permute(ctx.cast(found, self.type.dtype), [last.index(a) for a in range(rank)])


@lowers(aten.take_along_dim.default)
def take_along_dim(ctx: Lowering, self: Value, indices: Value, dim: int | None = None) -> Result:
    """``gather`` with the two broadcast against each other outside of the dimension."""
    if dim is None:
        raise ctx.refused(f"'{ctx.op_name}' without a dimension runs over the batch", "name the dimension")
    axis = axis_of(dim, self.type.rank)
    others = [a for a in range(self.type.rank) if a != axis]
    shape = {a: indices.shape[a] if self.shape[a] == 1 else self.shape[a] for a in others}
    x = ctx.expand(self, [shape.get(a, self.shape[a]) for a in range(self.type.rank)])
    index = ctx.expand(indices, [shape.get(a, indices.shape[a]) for a in range(self.type.rank)])
    return gather(ctx, x, axis, index)


@lowers(aten.diagonal.default)
def diagonal(ctx: Lowering, self: Value, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Result:
    """The elements where two dimensions count alike, as the last dimension: one look-up."""
    first, second = axis_of(dim1, self.type.rank), axis_of(dim2, self.type.rank)
    rows, columns = self.shape[first], self.shape[second]
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ctx.refused(f"'{ctx.op_name}' runs over the batch", "keep samples independent of each other")
    others = [a for a in range(self.type.rank) if a not in (first, second)]
    flat = ctx.permute(self, [*others, first, second])
    flat = ctx.reshape(flat, (*flat.shape[:-2], rows * columns))
    places = torch.diagonal(torch.arange(rows * columns).reshape(rows, columns), offset).contiguous()
    return ctx.add(ops.Gather(axis=flat.type.rank - 1), flat, ctx.constant(places.to(ctx.device), "diagonal"))
