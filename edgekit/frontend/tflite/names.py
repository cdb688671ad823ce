"""Names: those of the user's layers, out of the paths that TensorFlow's converter leaves in a file.

A fused operator of a file is called ``model/activation/Relu;model/conv2d/BiasAdd;model/conv2d/Conv2D``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Last components that name a step of a layer, not the layer.
_PRODUCTS = ("Conv2D", "depthwise", "conv2d_transpose", "MatMul", "conv1d", "Conv1D", "convolution", "conv_transpose", "lookup")

#: First components that name the whole model.
_MODEL = re.compile(r"(StatefulPartitionedCall(_\d+)?|PartitionedCall|(model|functional|sequential)(_\d+)*)$")

#: What the converter appends: ``:0`` of an output, and digits behind a component that two tensors share.
_SUFFIX = re.compile(r"(:\d+|/ReadVariableOp(/resource)?\d*)+$")

_PREFIX = re.compile(r"^serving_default_")


def layer_name(names: Sequence[str], *, weighted: bool) -> str:
    """The layer that an operator came from.

    Args:
        names: of its weight (where it has one) and its result, as the file has them.
        weighted: it is a product with weights: the part that names one is looked for first.
    """
    parts = [part for name in names for part in name.split(";") if part]
    if weighted:
        product = next((part for part in parts if _stem(part).rpartition("/")[2].rstrip("0123456789") in _PRODUCTS), None)
        if product is not None:
            return _dotted(_stem(product).rpartition("/")[0])
    last = _stem(parts[-1]) if parts else ""
    path, _, leaf = last.rpartition("/")
    return _dotted(path if path and not _MODEL.match(path) else last) or leaf


def end_name(name: str) -> str:
    """The name of an input or output of a file without signature."""
    return _PREFIX.sub("", _SUFFIX.sub("", name)).replace("/", ".").strip(".")


def _stem(part: str) -> str:
    return _SUFFIX.sub("", part)


def _dotted(path: str) -> str:
    """Components joined by dots, as module paths are, without the model's own."""
    parts = [part for part in path.split("/") if part]
    while len(parts) > 1 and _MODEL.match(parts[0]):
        parts.pop(0)
    return ".".join(re.sub(r"[^\w\-]+", "_", part) for part in parts)
