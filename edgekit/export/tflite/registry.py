"""The table of emitters: one function per op writes it in TFLite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from edgekit.ir.ops import Op

if TYPE_CHECKING:
    from edgekit.export.tflite.emission import Site

#: ``emitter(site, op)`` writes operators through ``site``, which knows the node, its inputs and the forms chosen for it.
Emitter: TypeAlias = Callable[["Site", Any], None]

#: Op class -> its emitter.
EMITTERS: dict[type[Op], Emitter] = {}


def emits(*classes: type[Op]) -> Callable[[Emitter], Emitter]:
    """Registers a function as the emitter of these op classes."""

    def register(emitter: Emitter) -> Emitter:
        for op_class in classes:
            if op_class in EMITTERS:
                raise ValueError(f"two emitters for '{op_class.name}'")
            EMITTERS[op_class] = emitter
        return emitter

    return register
