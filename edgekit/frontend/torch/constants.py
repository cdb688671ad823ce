"""Results that are known while loading."""

from __future__ import annotations

from typing import Any

import torch
from torch._ops import OpOverload

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import is_nondeterministic
from edgekit.ir import Value


def is_fixed(ctx: Lowering, target: OpOverload, arguments: list[Any]) -> bool:
    """Whether a result is known while loading: it depends on constants that are no state, nothing random, and not the batch."""
    if not all(ctx.is_known(x) for x in arguments if isinstance(x, Value)) or is_nondeterministic(target):
        return False
    traced = ctx.node.meta.get("val")
    results = traced if isinstance(traced, tuple | list) else [traced]
    return all(isinstance(r, torch.Tensor) and all(isinstance(size, int) for size in r.shape) for r in results)


def evaluate(ctx: Lowering, target: OpOverload, args: Any, kwargs: Any) -> Any:
    """A constant: the op itself, run on constants. The device is the model's, not the tracer's."""

    def tensors(x: Any) -> Any:
        if isinstance(x, Value):
            return x.tensor
        return [tensors(i) for i in x] if isinstance(x, list) else x

    kwargs = {name: ctx.device if name == "device" else tensors(x) for name, x in kwargs.items()}
    args = [ctx.device if isinstance(x, torch.device) else tensors(x) for x in args]
    with torch.no_grad():
        result = target(*args, **kwargs)
    name = target._schema.name.partition("::")[2]
    if isinstance(result, torch.Tensor):
        return ctx.constant(own(result), name)
    return tuple(ctx.constant(own(r), name) for r in result)


def own(data: torch.Tensor) -> torch.Tensor:
    """A constant of its own: not trainable, and no view of something larger."""
    data = data.detach()
    return data.clone(memory_format=torch.contiguous_format) if data.untyped_storage().nbytes() != data.nbytes else data
