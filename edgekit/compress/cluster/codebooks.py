"""The codebooks of a graph: which weights share a value, and in which units the values stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgekit.compress.cluster.digits import rounded
from edgekit.compress.cluster.kmeans import kmeans
from edgekit.compress.cluster.step import Cluster
from edgekit.ir import Value, ops

#: Largest integer of symmetric 8-bit weights.
_LARGEST = 127


@dataclass(frozen=True)
class Codebook:
    """The shared values of one constant.

    Attributes:
        labels: which value each element has, -1 for a zero that belongs to none; of the constant's shape.
        values: the values at first (k,), in ``units``.
        units: what the elements are multiples of (broadcasts to the constant's shape); None for 1.
        fixed: values that training does not move, by their place.
        bits: of an index.
    """

    labels: Tensor
    values: Tensor
    units: Tensor | None
    fixed: tuple[int, ...]
    bits: int

    @property
    def distinct(self) -> int:
        """How many values there are."""
        return len(self.values)


def codebook_of(weight: Value, bits: int, step: Cluster) -> Codebook:
    """The codebook of a weight, by k-means over what is not zero.

    On the grid "int8" the units, which become a scale for each channel, are rounded to few digits behind the clustering: the
    largest weight of every channel is the integer 127 all the same, and a weight changes by 2^-digits of itself.
    """
    tensor = weight.tensor.detach().cpu().double()
    axis = output_axis(weight)
    if step.grid == "int8":
        others = tuple(i for i in range(tensor.dim()) if i != axis)
        largest = tensor.abs().amax(dim=others, keepdim=True) if axis is not None else tensor.abs().amax()
        units = torch.where(largest > 0, largest / _LARGEST, torch.ones_like(largest))
        return _clustered(tensor / units, 1 << bits, bits, None, rounded(units, step.significant))
    return _clustered(tensor, 1 << bits, bits, axis if step.scope == "channel" else None, None)


def bias_codebook(bias: Value, bits: int) -> Codebook:
    """The codebook of a bias; its zeros are values like others."""
    tensor = bias.tensor.detach().cpu().double()
    values, labels = kmeans(tensor.numpy().reshape(-1), 1 << bits)
    return Codebook(torch.from_numpy(labels).view(tensor.shape), torch.from_numpy(values), None, (), bits)


def _clustered(tensor: Tensor, clusters: int, bits: int, axis: int | None, units: Tensor | None) -> Codebook:
    labels = torch.full(tensor.shape, -1, dtype=torch.long)
    values: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    count = 0
    parts = [(tensor, labels)] if axis is None else list(zip(tensor.unbind(axis), labels.unbind(axis), strict=True))
    for part, place in parts:
        there = part != 0
        if not bool(there.any()):
            continue
        found, members = kmeans(part[there].numpy(), clusters, pinned=units is not None)
        place[there] = torch.from_numpy(members) + count
        values.append(found)
        count += len(found)
    together = torch.from_numpy(np.concatenate(values)) if values else torch.zeros(0, dtype=torch.float64)
    ends = torch.nonzero(together.abs() > _LARGEST - 0.5).flatten().tolist() if units is not None else []
    return Codebook(labels, together, units, tuple(ends), bits)


def output_axis(weight: Value) -> int | None:
    """The axis of output channels, where the weight's layer has one scale for each of them when it is quantised."""
    node = weight.users[0] if weight.users else None
    if node is None or isinstance(node.op, ops.Matmul):
        return None
    return 1 if isinstance(node.op, ops.ConvTranspose1d | ops.ConvTranspose2d) else 0
