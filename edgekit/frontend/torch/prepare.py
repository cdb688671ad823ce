"""A copy of the user's module to trace: in evaluation mode, sharing its tensors; the user's own stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edgekit.frontend.torch.multihead import plain_attention


@contextmanager
def traceable(module: nn.Module, *, training: bool = False) -> Iterator[nn.Module]:
    """A module in evaluation (or train) mode to trace, with the user's very parameters and buffers.

    It is a copy where the module can be copied; else it is the module itself, whose modes are put back afterwards. In both
    cases torch's fused inference paths of transformers are off meanwhile: they have no form in a graph that trains.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        try:
            twin = _copied(module)
        except Exception:  # locks, generators: whatever the user's attributes hold
            with _mode(module, training), plain_attention(module):
                yield module
        else:
            twin.train(training)
            with plain_attention(twin):
                yield twin
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _copied(module: nn.Module) -> nn.Module:
    shared: dict[int, Any] = {id(t): t for t in (*module.parameters(), *module.buffers())}
    for part in module.modules():  # results of a computation (old-style weight_norm), which do not copy
        shared.update({id(t): t for t in vars(part).values() if isinstance(t, torch.Tensor) and not t.is_leaf})
    return copy.deepcopy(module, shared)


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    """The module itself in a mode; afterwards all its attributes are as before."""
    before = [(part, dict(vars(part)), dict(part._buffers)) for part in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for part, attributes, buffers in before:  # what forward stores while it is traced is no real tensor
            vars(part).clear()
            vars(part).update(attributes)
            part._buffers.clear()
            part._buffers.update(buffers)
