"""Recurrent layers are traced by the shapes of their results.

torch computes them on fake tensors step by step: 128 steps of a two-layer LSTM take 15 seconds of tracing, for one node. Their
shapes are known at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

aten = torch.ops.aten
_LAYERS = (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Inside the block, tracing a recurrent layer costs what tracing a convolution costs."""
    importlib.import_module("torch._decomp.decompositions")  # registers the kernels that are replaced here
    with ExitStack() as stack:
        for layer in _LAYERS:
            kernels: dict[Any, Any] = getattr(layer, "py_kernels", {})
            cache: dict[Any, Any] = getattr(layer, "_dispatch_cache", {})
            stack.enter_context(mock.patch.dict(kernels, dict.fromkeys(kernels, _results)))
            stack.enter_context(mock.patch.dict(cache, clear=True))  # what has been looked up before
        yield


def _results(
    input: torch.Tensor,
    hx: torch.Tensor | Sequence[torch.Tensor],
    params: Sequence[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[torch.Tensor, ...]:
    """Empty results: outputs (both directions side by side) and final states."""
    states = [hx] if isinstance(hx, torch.Tensor) else list(hx)
    width = states[0].shape[2] * (2 if bidirectional else 1)
    return (input.new_empty((*input.shape[:2], width)), *[state.new_empty(state.shape) for state in states])
