"""Matrix products."""

from __future__ import annotations

from edgekit.compress.prune.coupling.context import Coupling
from edgekit.compress.prune.coupling.elementwise import joined_axes
from edgekit.compress.prune.coupling.table import couples
from edgekit.ir import Node, ops


@couples(ops.Linear)
def linear(node: Node, c: Coupling) -> None:
    """x (..., I), weight (O, I): the last axis changes from I to O."""
    x, weight = node.input(0), node.input(1)
    c.bind(weight, 1, c.axis(x, -1))
    c.makes(weight, 0)
    out = c.axis(weight, 0)
    if (bias := node.optional(2)) is not None:
        c.bind(bias, -1, out)
    c.label(node.output, [*c.all_axes(x)[:-1], out])


@couples(ops.Matmul)
def matmul(node: Node, c: Coupling) -> None:
    """a (..., M, K) times b (..., K, N): K goes together, M and N pass, leading axes broadcast."""
    a, b = node.input(0), node.input(1)
    if min(a.type.rank, b.type.rank) < 2:
        for value in (a, b):
            c.fix_axes(value, range(value.type.rank), "a product with a vector")
        c.label(node.output, [c.stuck(d if isinstance(d, int) else 0, "a product with a vector") for d in node.output.shape])
        return
    inner, outer = (-1, -2) if node.op.transpose_b else (-2, -1)  # type: ignore[attr-defined]
    if a.is_constant:
        c.bind(a, -1, c.axis(b, inner))
        c.makes(a, -2)
    else:
        c.bind(b, inner, c.axis(a, -1))
        c.makes(b, outer)
    leading = joined_axes([(v, v.type.rank - 2) for v in (a, b)], node.output.shape[:-2], c)
    c.label(node.output, [*leading, c.axis(a, -2), c.axis(b, outer)])
