"""Einstein summation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from edgekit.frontend.einsum import contract
from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value

aten = torch.ops.aten


@lowers(aten.einsum.default)
def einsum(ctx: Lowering, equation: str, tensors: Sequence[Value], *, path: Sequence[int] | None = None) -> Result:
    """Operands are contracted from left to right; ``path`` changes the cost, not the result."""
    return contract(ctx, equation, [ctx.cast(x, ctx.result.dtype) for x in tensors])
