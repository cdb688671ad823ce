"""How large the weights around a weight are: in the kernel of a convolution, and in the image that a linear layer reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgekit.ir import Value, ops

#: Share of a layer's mean that is added, so that a large weight among zeros can stay.
_FLOOR = 0.1


def without(weights: Mapping[str, Value]) -> list[str]:
    """Names of weights that have no ``scores``."""
    return [name for name, weight in weights.items() if _planes(weight) is None]


def scores(weight: Value, strength: float) -> Tensor | None:
    """|w| * m^strength, with m the mean magnitude over the 3 x 3 places around, w among them, plus a tenth of the layer's mean.

    Returns:
        Float64 of the weight's shape; None where no two directions are known: all but 2-D convolutions, and linear layers that
        read an image through nothing but a reshape.
    """
    planes = _planes(weight)
    if planes is None:
        return None
    magnitudes = weight.tensor.detach().cpu().double().abs()
    images = magnitudes.reshape(-1, 1, *planes)
    means = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False).reshape(magnitudes.shape)
    return magnitudes * (means + _FLOOR * means.mean()) ** strength


def _planes(weight: Value) -> tuple[int, int] | None:
    """Height and width of what lies behind one another in a row of the weight."""
    node = weight.users[0]
    if isinstance(node.op, ops.Conv2d) and node.inputs[1] is weight:
        return (int(weight.tensor.shape[2]), int(weight.tensor.shape[3]))
    read = node.inputs[0] if isinstance(node.op, ops.Linear) else None
    source = None if read is None else read.producer
    if source is None or not isinstance(source.op, ops.Reshape) or source.inputs[0] is None:
        return None
    sizes = [size for size in source.inputs[0].type.shape[1:] if isinstance(size, int)]
    whole = len(sizes) == 3 and sizes[0] * sizes[1] * sizes[2] == weight.tensor.shape[1]
    return (sizes[1], sizes[2]) if whole else None
