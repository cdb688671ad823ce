"""Is the first axis of a file's inputs a batch? Most files were converted for one sample and say so nowhere.

A file is first translated as if it were. That stands if every shape can be said in terms of the batch, and if three samples
together give what they give one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.formats.tflite.model import Model
from edgekit.ir import Value


def may_have_batch(model: Model, fixed: frozenset[int] = frozenset(), samples: int = 1) -> bool:
    """Every input has so many samples, or leaves the number open."""
    for index in model.main.inputs:
        tensor = model.main.tensors[index]
        signature = tensor.shape_signature
        is_open = len(signature) == len(tensor.shape) and bool(signature) and signature[0] < 0
        if index not in fixed and not (tensor.shape and (tensor.shape[0] == samples or is_open)):
            return False
    return bool(model.main.inputs)


def says_batch(model: Model) -> bool:
    """The file itself leaves the first axis of every input open."""
    tensors = [model.main.tensors[index] for index in model.main.inputs]
    return all(t.shape_signature and t.shape_signature[0] < 0 for t in tensors)


def batch_values(values: Sequence[Value]) -> bool:
    """Some of the values have a batch."""
    return any(value.type.has_batch for value in values)
