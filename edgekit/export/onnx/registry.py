"""The table of emitters: one function per op writes it in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from edgekit.ir.ops import Op

if TYPE_CHECKING:
    from edgekit.export.onnx.emission import Emission
    from edgekit.export.onnx.writer import Tensor
    from edgekit.ir.graph import Node

    #: What an emitter gives for one output: its real numbers before rounding, or None if nothing reads it.
    Result: TypeAlias = Tensor | None

#: ``emitter(to, node, op)`` writes nodes through ``to`` and returns the result, a tuple for an op with several outputs.
Emitter: TypeAlias = Callable[["Emission", "Node", Any], "Result | tuple[Result, ...]"]

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
