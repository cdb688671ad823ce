"""A copy of the user's module to trace: in evaluation mode, sharing its tensors; the user's own stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


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
        except Exception:  # non-leaf tensors, locks, generators: whatever the user's attributes hold
            with _mode(module, training):
                yield module
        else:
            twin.train(training)
            yield twin
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _copied(module: nn.Module) -> nn.Module:
    shared: dict[int, Any] = {id(t): t for t in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, shared)


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    before = [(part, part.training) for part in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for part, was in before:
            part.training = was
