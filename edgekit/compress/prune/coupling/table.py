"""Two tables keyed by op class: how channels couple through an op, and how its attributes shrink with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from edgekit.ir import Node
from edgekit.ir.ops import Op

if TYPE_CHECKING:
    from edgekit.compress.prune.change import Change
    from edgekit.compress.prune.coupling.context import Coupling

#: Labels the outputs of a node and joins the labels of its inputs.
Couple = Callable[[Node, "Coupling"], None]

#: The op of the smaller node. It may add nodes before it and constants, through the change.
Shrink = Callable[["Change"], Op]

COUPLES: dict[type[Op], Couple] = {}
SHRINKS: dict[type[Op], Shrink] = {}

_C = TypeVar("_C", bound=Couple)
_S = TypeVar("_S", bound=Shrink)


def couples(*classes: type[Op]) -> Callable[[_C], _C]:
    """Enters a function for these ops. An op without one fixes all that reaches it."""

    def enter(function: _C) -> _C:
        for cls in classes:
            if cls in COUPLES:
                raise ValueError(f"two functions couple '{cls.name}'")
            COUPLES[cls] = function
        return function

    return enter


def shrinks(*classes: type[Op]) -> Callable[[_S], _S]:
    """Enters a function for these ops. An op without one keeps its attributes."""

    def enter(function: _S) -> _S:
        for cls in classes:
            if cls in SHRINKS:
                raise ValueError(f"two functions shrink '{cls.name}'")
            SHRINKS[cls] = function
        return function

    return enter
