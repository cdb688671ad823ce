"""What layers read, as rows of patches: samples of their inputs on the user's data."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch
from torch.nn import functional as F

from edgekit.compress.rewriting.layer import Layer
from edgekit.errors import InputError, UsageError
from edgekit.ir import Graph, Value, ops
from edgekit.ir.ops.base import Op
from edgekit.ir.ops.conv import flat_pads
from edgekit.ir.types import dtype_name

#: Samples at most, fewer where a value of the graph is large: a walk over the graph holds several values of all samples.
_SAMPLES, _BYTES = 512, 128 << 20
_BATCH = 64

#: Patches of each layer that errors are taken on.
_ROWS = 1024


def inputs_of(graph: Graph, data: object | None, *, needed: bool, root: Path | None = None) -> list[list[torch.Tensor]]:
    """Batches of the training data (else the calibration data); none where there is none and none is needed.

    A ``package.module:callable`` is imported from ``root``.

    Raises:
        UsageError: there is none, and an option needs it.
        InputError: it does not fit the model's inputs, or is less than the one batch that the graph is made for.
    """
    from edgekit.data import Data, InputSpec, calibration_arrays

    source = (data.train if data.train is not None else data.calibration) if isinstance(data, Data) else data
    if source is None:
        if needed:
            raise UsageError("this way of rewriting needs data", where=graph.name, hint="give data=edgekit.Data(train=...)")
        return []
    specs = [InputSpec(v.name, dtype_name(v.type.dtype), v.type.at(1)[1:]) for v in graph.inputs]
    widest = max(value.type.numel() for value in graph.values() if not value.is_constant)
    first = graph.inputs[0].type
    size = _BATCH if first.has_batch else first.at(1)[0]
    limit = max(size, min(_SAMPLES, _BYTES // (4 * widest)))
    arrays = calibration_arrays(source, specs, root=root, limit=limit)
    starts = [slice(start, start + size) for start in range(0, len(arrays[0]), size)]
    if not first.has_batch:
        starts = [start for start in starts if start.stop <= len(arrays[0])]
        if not starts:
            raise InputError(
                f"{len(arrays[0])} samples for a graph of batch {size}",
                where="the training data",
                hint=f"give at least {size} samples",
            )
    device = next((v.tensor.device for v in graph.constants() if v.is_trainable), torch.device("cpu"))
    return [[torch.from_numpy(array[start]).to(device) for array in arrays] for start in starts]


def sample(graph: Graph, layers: Sequence[Layer], batches: list[list[torch.Tensor]], seed: int) -> dict[int, torch.Tensor]:
    """For each layer, by id, patches (n, I * kernel) of its input in double precision; none where its input is constant."""
    readers: dict[int, list[tuple[Layer, Op]]] = {}
    for layer in layers:
        for node in layer.nodes:
            readers.setdefault(id(node.input(0)), []).append((layer, layer.op(node)))
    generator = torch.Generator().manual_seed(seed)
    found: dict[int, list[torch.Tensor]] = {}

    def observe(value: Value, tensor: torch.Tensor) -> None:
        for layer, op in readers.get(id(value), ()):
            count = positions(tensor, op, layer.kernel)
            picks = pick(count, -(-_ROWS // (len(batches) * len(layer.nodes))), generator)
            found.setdefault(id(layer), []).append(patches(tensor, op, layer.kernel, picks))

    module = graph.module().eval()
    with torch.no_grad():
        for batch in batches:
            module.run(batch, observe)
    return {key: torch.cat(parts) for key, parts in found.items()}


def pick(count: int, wanted: int, generator: torch.Generator) -> torch.Tensor:
    """Different positions out of ``count``, chosen at random, in order."""
    return torch.randperm(count, generator=generator)[:wanted].sort()[0]


def positions(x: torch.Tensor, op: Op, kernel: Sequence[int]) -> int:
    """How many outputs (of all channels) a layer computes for this input, over all samples."""
    if isinstance(op, ops.Linear):
        return x.numel() // x.shape[-1]
    return x.shape[0] * prod(_output_sizes(x, op, kernel))


def patches(x: torch.Tensor, op: Op, kernel: Sequence[int], picks: torch.Tensor) -> torch.Tensor:
    """The part of ``x`` that each picked output reads, in the order of the weight's elements: (n, I * kernel), double.

    ``picks`` number the outputs sample by sample and, within one, position by position.
    """
    if isinstance(op, ops.Linear):
        return x.reshape(-1, x.shape[-1])[picks.to(x.device)].double().cpu()
    sizes = _output_sizes(x, op, kernel)
    stride, dilation, padding = op.stride, op.dilation, op.padding  # type: ignore[attr-defined]
    padded = F.pad(x, flat_pads(padding)).cpu()
    at = torch.unravel_index(picks, (x.shape[0], *sizes))
    taps = [place[:, None] * s + torch.arange(k) * d for place, s, k, d in zip(at[1:], stride, kernel, dilation, strict=True)]
    if len(taps) == 1:
        rows = padded[at[0][:, None], :, taps[0]]
    else:
        rows = padded[at[0][:, None, None], :, taps[0][:, :, None], taps[1][:, None, :]]
    return rows.movedim(-1, 1).flatten(1).double()


def _output_sizes(x: torch.Tensor, op: Op, kernel: Sequence[int]) -> tuple[int, ...]:
    stride, dilation, padding = op.stride, op.dilation, op.padding  # type: ignore[attr-defined]
    rows = zip(x.shape[2:], kernel, stride, dilation, padding, strict=True)
    return tuple((size + low + high - d * (k - 1) - 1) // s + 1 for size, k, s, d, (low, high) in rows)
