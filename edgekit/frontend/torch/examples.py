"""Example inputs: what the user gives becomes the arguments of one call, with a batch that the tracer can vary."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from edgekit.errors import InputError
from edgekit.tables import did_you_mean


@dataclass(frozen=True)
class Examples:
    """Arguments of one call, with names of their leaves.

    Attributes:
        args: positional arguments.
        kwargs: arguments by name.
        names: for each leaf of (args, kwargs) its name: the parameter's, with the way down to the leaf where it is nested.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...]

    @property
    def leaves(self) -> list[Any]:
        """All leaves in order."""
        return pytree.tree_leaves((self.args, self.kwargs))


def examples_for(module: nn.Module, given: Any) -> Examples:
    """Arguments from what the user gave: a tensor, a tuple of arguments, or a dict by parameter name. Arrays become tensors.

    Raises:
        InputError: the arguments do not fit the forward's signature.
    """
    own = [*module.parameters(), *module.buffers()]
    device = next((t.device for t in own), torch.device("cpu"))
    dtype = next((t.dtype for t in own if t.is_floating_point()), torch.float32)
    given = pytree.tree_map(lambda leaf: _as_tensor(leaf, device, dtype), given)
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(given, Mapping):
        kwargs = dict(given)
    elif isinstance(given, tuple | list):
        args = tuple(given)
    else:
        args = (given,)
    signature = inspect.signature(module.forward)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InputError(
            f"the example inputs do not fit forward{signature}: {error}",
            where=type(module).__name__,
            hint="example_inputs is a tuple of the positional arguments, or a dict by parameter name",
        ) from None
    return Examples(args, kwargs, _names(signature, args, kwargs))


def _names(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, ...]:
    """``x`` for a parameter that is a tensor, ``state_0``, ``state_1`` ... for the leaves of one that is nested."""
    positional = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL), "")
    names = [positional[i] if i < len(positional) else f"{rest}_{i - len(positional)}" for i in range(len(args))]
    out: list[str] = []
    for name, argument in [*zip(names, args, strict=True), *kwargs.items()]:
        for path, _ in pytree.tree_leaves_with_path(argument):
            out.append("_".join([name, *(str(getattr(key, "idx", getattr(key, "key", key))) for key in path)]))
    return tuple(out)


def batch_axis_per_leaf(examples: Examples, batch_axes: Mapping[str, int | None] | None) -> list[int | None]:
    """The batch axis of each leaf: axis 0 of every tensor unless ``batch_axes`` says otherwise for its parameter.

    Raises:
        InputError: ``batch_axes`` names something that is no input, or an axis that the example has not.
    """
    batch_axes = batch_axes or {}
    for name in batch_axes:
        if not any(leaf == name or leaf.startswith(f"{name}_") for leaf in examples.names):
            raise InputError(f"batch_axes names '{name}', which is no input", hint=did_you_mean(name, set(examples.names)))
    axes: list[int | None] = []
    for name, leaf in zip(examples.names, examples.leaves, strict=True):
        if not isinstance(leaf, torch.Tensor):
            axes.append(None)
            continue
        said = [key for key in batch_axes if name == key or name.startswith(f"{key}_")]
        axis = batch_axes[max(said, key=len)] if said else (0 if leaf.dim() else None)
        if axis is not None and not -leaf.dim() <= axis < leaf.dim():
            raise InputError(f"batch_axes says axis {axis} for '{name}', whose example has {leaf.dim()} dimensions")
        axes.append(None if axis is None else axis % leaf.dim())
    return axes


def repeated(examples: Examples, axes: Sequence[int | None]) -> Examples:
    """The examples with a batch of 1 repeated to 2: a size of 1 is specialised by the tracer."""
    leaves, spec = pytree.tree_flatten((examples.args, examples.kwargs))
    grown = [
        torch.cat((leaf, leaf), axis) if axis is not None and leaf.shape[axis] == 1 else leaf
        for leaf, axis in zip(leaves, axes, strict=True)
    ]
    args, kwargs = pytree.tree_unflatten(grown, spec)
    return Examples(args, kwargs, examples.names)


def _as_tensor(leaf: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Tensors as they are, on the model's device; numpy's float64, its default, becomes the model's type."""
    if isinstance(leaf, torch.Tensor):
        return leaf.detach().to(device)
    if hasattr(leaf, "__array__") and not isinstance(leaf, int | float | bool):
        tensor = torch.as_tensor(leaf, device=device)
        return tensor.to(dtype) if tensor.dtype == torch.float64 else tensor
    return leaf
