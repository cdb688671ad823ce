"""Einstein summation, pair by pair: each pair is a matrix product, or an elementwise product where nothing is summed."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.frontend.lowering import GraphLowering
from edgekit.ir import Value, ops
from edgekit.ir.types import Dim


def contract(ctx: GraphLowering, equation: str, tensors: Sequence[Value]) -> Value:
    """Operands of one element type are contracted from left to right.

    Raises:
        Unsupported: the equation takes a diagonal.
        ValueError: operands and ranks do not fit.
    """
    operands, result = parse(equation, [x.type.rank for x in tensors])
    for labels in operands:
        ctx.need(len(set(labels)) == len(labels), f"takes a diagonal ('{equation}')", "take the diagonal outside of the graph")
    tensors = _broadcast(ctx, tensors, operands)
    value, labels = tensors[0], operands[0]
    for index in range(1, len(tensors)):
        later = set(result).union(*operands[index + 1 :])
        value, labels = _product(ctx, value, labels, tensors[index], operands[index], later)
    value, labels = _summed(ctx, value, labels, set(result))
    ordered = ctx.permute(value, [labels.index(label) for label in result])
    return ordered if result else ctx.reshape(ordered, ())


def _broadcast(ctx: GraphLowering, tensors: Sequence[Value], operands: Sequence[str]) -> list[Value]:
    """A dimension of size 1 takes the size that its label has elsewhere, as torch lets it."""
    sizes: dict[str, Dim] = {}
    for x, labels in zip(tensors, operands, strict=True):
        sizes |= {label: size for label, size in zip(labels, x.shape, strict=True) if size != 1}
    return [ctx.expand(x, [sizes.get(label, 1) for label in labels]) for x, labels in zip(tensors, operands, strict=True)]


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Labels of each operand and of the result; an ellipsis becomes capital Greek letters, the last dimension first.

    Raises:
        ValueError: operands and ranks do not fit (torch has refused such equations before).
    """
    left, _, right = equation.replace(" ", "").partition("->")
    operands = [_named(labels, rank) for labels, rank in zip(left.split(","), ranks, strict=True)]
    width = max(sum(not label.isascii() for label in labels) for labels in operands)
    if "->" in equation:
        return operands, right.replace("...", _ellipsis(width))
    counts = [label for labels in operands for label in labels]
    once = sorted({label for label in counts if counts.count(label) == 1 and label.isascii()})
    return operands, _ellipsis(width) + "".join(once)


def _named(labels: str, rank: int) -> str:
    return labels.replace("...", _ellipsis(rank - len(labels.replace("...", ""))))


def _ellipsis(width: int) -> str:
    """Broadcasting dimensions are aligned at their end."""
    return "".join(chr(ord("Α") + i) for i in reversed(range(width)))


def _product(ctx: GraphLowering, a: Value, left: str, b: Value, right: str, later: set[str]) -> tuple[Value, str]:
    """Two operands into one, with the labels that are still needed."""
    a, left = _summed(ctx, a, left, later | set(right))
    b, right = _summed(ctx, b, right, later | set(left))
    shared = [label for label in left if label in right]
    batch = "".join(label for label in shared if label in later)
    inner = "".join(label for label in shared if label not in later)
    rows = "".join(label for label in left if label not in right)
    columns = "".join(label for label in right if label not in left)
    if not inner:
        wide = _ordered(ctx, a, left, batch + rows)
        wide = ctx.reshape(wide, (*wide.shape, *(1,) * len(columns)))
        other = _ordered(ctx, b, right, batch + columns)
        other = ctx.reshape(other, (*other.shape[: len(batch)], *(1,) * len(rows), *other.shape[len(batch) :]))
        return ctx.add(ops.Mul(), wide, other), batch + rows + columns
    first = _ordered(ctx, a, left, batch + rows + inner)
    flip = right == batch + columns + inner  # already transposed: leave it so
    second = _ordered(ctx, b, right, batch + columns + inner if flip else batch + inner + columns)
    count = len(batch)
    kept_rows = first.shape[count : count + len(rows)]
    kept_columns = second.shape[count : count + len(columns)] if flip else second.shape[count + len(inner) :]
    width = ctx.sizes_product(kept_columns)
    # Rows stay apart where the other operand is one matrix; with a batch in both, a product has one dimension of rows.
    height = (ctx.sizes_product(kept_rows),) if batch else kept_rows or (1,)
    depth = ctx.sizes_product(first.shape[count + len(rows) :])
    matrix = ctx.reshape(first, (*first.shape[:count], *height, depth))
    other = ctx.reshape(second, (*second.shape[:count], *((width, depth) if flip else (depth, width))))
    if flip and not batch and other.is_constant:
        out = ctx.add(ops.Linear(), matrix, other, None)
    else:
        out = ctx.add(ops.Matmul(transpose_b=flip), matrix, other)
    return ctx.reshape(out, (*out.shape[:count], *kept_rows, *kept_columns)), batch + rows + columns


def _summed(ctx: GraphLowering, x: Value, labels: str, needed: set[str]) -> tuple[Value, str]:
    """Dimensions that nobody needs any more are summed."""
    axes = tuple(axis for axis, label in enumerate(labels) if label not in needed)
    if not axes:
        return x, labels
    return ctx.add(ops.Sum(axes=axes), x), "".join(label for label in labels if label in needed)


def _ordered(ctx: GraphLowering, x: Value, labels: str, wanted: str) -> Value:
    return ctx.permute(x, [labels.index(label) for label in wanted])
