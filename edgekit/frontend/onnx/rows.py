"""Sequences of tensors: while loading they are rows of operands, and nothing of them is left in the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.frontend.onnx.sizes import Sizes
    from edgekit.ir import Value


@dataclass(frozen=True, eq=False)
class Row:
    """What ONNX calls a sequence: its tensors, in order."""

    items: tuple[Value | Sizes, ...] = ()
