"""Traced sizes become dimensions of the graph: numbers, or multiples of the batch size."""

from __future__ import annotations

from typing import Any

import torch

from edgekit.errors import Unsupported
from edgekit.ir.types import DTYPES, Batch, Dim, TensorType, solve_dim

#: A traced size is a multiple of the batch if it is one at these batch sizes (the first two are where types are solved).
_PROBES = (2, 3, 5, 7)


class Sizes:
    """Turns the ``SymInt`` sizes of one traced program into dimensions.

    Args:
        symbol: the sympy symbol of the batch size, or None for a program with a static batch.
    """

    def __init__(self, symbol: Any = None) -> None:
        self.symbol = symbol
        self._known: dict[Any, Dim] = {}

    def dim(self, size: int | torch.SymInt) -> Dim:
        """The dimension of a traced size.

        Raises:
            Unsupported: it is neither constant nor a multiple of the batch size.
        """
        if isinstance(size, int):
            return size
        expression = size.node.expr
        if expression not in self._known:
            self._known[expression] = self._solve(expression)
        return self._known[expression]

    def _solve(self, expression: Any) -> Dim:
        if expression == self.symbol:
            return Batch(1)
        if expression.is_number:
            return int(expression)
        if expression.free_symbols != {self.symbol}:
            raise Unsupported(
                f"a size depends on something other than the batch: {expression}",
                hint="export with fixed sizes; only the batch may vary",
            )
        sizes = [int(expression.subs(self.symbol, batch)) for batch in _PROBES]
        dim = solve_dim(sizes[:2])
        multiple = dim.multiple if isinstance(dim, Batch) else 0
        if any(size != (multiple * batch or dim) for size, batch in zip(sizes, _PROBES, strict=True)):
            raise Unsupported(f"a size is not a multiple of the batch size: {expression}")
        return dim

    def type(self, tensor: torch.Tensor) -> TensorType:
        """The type of a traced tensor.

        Raises:
            Unsupported: its element type or a size has no form in the graph.
        """
        if tensor.dtype not in DTYPES:
            raise Unsupported(f"a tensor of type {tensor.dtype}", hint="use a type of `edgekit.ir.types`: float, int or bool")
        return TensorType(tensor.dtype, tuple(self.dim(size) for size in tensor.shape))
