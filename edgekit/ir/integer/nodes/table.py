"""The table of quantised ops, keyed by the op's class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from edgekit.ir.ops.base import Op
from edgekit.ir.quant import QuantParams


@dataclass(frozen=True)
class Call:
    """One quantised node with its integers.

    ``op`` has its batch sizes resolved; ``tensors`` and ``quants`` are the inputs' (None where an optional input is absent,
    and no quant where an input is not quantised, such as an index); ``outputs`` are the results' parameters.
    """

    op: Any
    tensors: tuple[torch.Tensor | None, ...]
    quants: tuple[QuantParams | None, ...]
    outputs: tuple[QuantParams | None, ...]

    def tensor(self, index: int) -> torch.Tensor:
        """An input that must be there."""
        tensor = self.tensors[index]
        assert tensor is not None
        return tensor

    def optional(self, index: int) -> torch.Tensor | None:
        """An input that may be absent, or may not even be listed."""
        return self.tensors[index] if index < len(self.tensors) else None

    def quant(self, index: int) -> QuantParams:
        """Parameters of a quantised input."""
        quant = self.quants[index]
        assert quant is not None
        return quant

    @property
    def output(self) -> QuantParams:
        """Parameters of the first result."""
        quant = self.outputs[0]
        assert quant is not None
        return quant


Kernel = Callable[[Call], torch.Tensor | tuple[torch.Tensor, ...]]
F = TypeVar("F", bound=Kernel)

#: Op class -> integer execution of a node of that op whose float values are all quantised.
KERNELS: dict[type[Op], Kernel] = {}


def integer(*kinds: type[Op]) -> Callable[[F], F]:
    """Enters the decorated function for these ops."""

    def enter(function: F) -> F:
        for kind in kinds:
            if kind in KERNELS:
                raise ValueError(f"two integer kernels for '{kind.name}'")
            KERNELS[kind] = function
        return function

    return enter
