"""The proof that samples in one batch do not see each other, for sources that were written for one sample."""

from __future__ import annotations

import torch

from edgekit.ir import Graph, Value
from edgekit.ir.types import Batch

#: Samples of the proof, and what it may cost: elements of all values and multiply-accumulates of one sample.
_SAMPLES = 3
_ELEMENTS = 1 << 25
_MACS = 1_000_000_000


def keeps_samples_apart(graph: Graph, *, otherwise: bool) -> bool:
    """Whether each sample's outputs are its own: three at once, and each alone.

    Args:
        graph: with a batch.
        otherwise: the answer for a graph that is too large to be run for this.
    """
    if sum(v.type.numel(1) for v in graph.values() if not v.is_constant) > _ELEMENTS or graph.macs > _MACS:
        return otherwise
    copy = graph.copy()
    for value in copy.values():
        value.quant = None
    module = copy.module().eval()
    generator = torch.Generator().manual_seed(0)
    inputs = [_random(value, generator) for value in copy.inputs]
    try:
        with torch.no_grad():
            together = module.run(inputs)
            each = [
                module.run([_part(x, v, sample) for x, v in zip(inputs, copy.inputs, strict=True)])
                for sample in range(_SAMPLES)
            ]
    except (RuntimeError, IndexError, ValueError):  # an op that random numbers do not suit
        return False
    return all(
        _same(_part(t, v, sample), a)
        for sample, alone in enumerate(each)
        for t, v, a in zip(together, copy.outputs, alone, strict=True)
    )


def _random(value: Value, generator: torch.Generator) -> torch.Tensor:
    shape = value.type.at(_SAMPLES)
    if value.type.is_float:
        return torch.randn(shape, generator=generator, dtype=value.type.dtype)
    return torch.randint(0, 2, shape, generator=generator).to(value.type.dtype)


def _part(tensor: torch.Tensor, value: Value, sample: int) -> torch.Tensor:
    """The rows of one sample; everything of a value without batch."""
    for axis, dim in enumerate(value.type.shape):
        if isinstance(dim, Batch):
            return tensor.narrow(axis, sample * dim.multiple, dim.multiple)
    return tensor


def _same(together: torch.Tensor, alone: torch.Tensor) -> bool:
    if together.shape != alone.shape:
        return False
    if not together.is_floating_point():
        return bool((together == alone).float().mean() > 0.999)
    scale = float(alone.abs().nan_to_num().max()) if alone.numel() else 1.0
    return torch.allclose(together, alone, rtol=1e-3, atol=1e-4 * max(scale, 1e-6), equal_nan=True)
