"""The table of lowerings: one function per ATen op overload."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

from edgekit.ir import Value

#: What a lowering returns: the op's result, or its results (None for one that has no value in the graph).
Result = Value | tuple[Value | None, ...]

_LOWERINGS: dict[OpOverload, Callable[..., Result]] = {}


def lowers(*overloads: OpOverload) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Registers a lowering for ATen overloads.

    The function takes the ``Lowering`` context and then the op's own arguments, by the names and with the defaults of its
    schema: tensors as ``Value``, sizes as ``int`` or ``Batch``, everything else as Python data.
    """

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        for overload in overloads:
            if overload in _LOWERINGS:
                raise ValueError(f"two lowerings for {overload}")
            _LOWERINGS[overload] = function
        return function

    return register


@functools.cache
def lowerings() -> dict[OpOverload, Callable[..., Result]]:
    """All lowerings; imports every module of the folder ``lowerings``."""
    from edgekit.frontend.torch import lowerings as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return _LOWERINGS


def functional_twin(overload: OpOverload) -> OpOverload | None:
    """``aten.relu_.default`` -> ``aten.relu.default``; None where ATen has no such op."""
    namespace, _, name = overload._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    return getattr(packet, overload._overloadname, None) if packet is not None else None


def is_nondeterministic(overload: OpOverload) -> bool:
    """The op draws random numbers (dropout in training does too)."""
    return torch.Tag.nondeterministic_seeded in overload.tags


def op_name(target: Any) -> str:
    """``aten.conv2d.default``: how errors name an op of the source."""
    return str(target) if isinstance(target, OpOverload) else getattr(target, "__name__", str(target))
