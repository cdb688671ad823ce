"""What the snippets of all languages need to know about an input or output."""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from edgekit.report.model import IoTensor

#: Smallest and largest integer of the types that quantised inputs have.
RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}

#: A signal has at most this many channels; more are features, not sensors.
_MOST_CHANNELS = 64

#: Words of Kotlin, and what the snippets themselves call something.
_RESERVED = re.compile(r"val|var|fun|object|when|typealias|interpreter|session|environment|labels?|predict|taken|(in|out)\d*")


@dataclass(frozen=True)
class Window:
    """A signal of which the app feeds the last ``steps`` samples.

    Attributes:
        steps, channels: of the window.
        time_first: whether the file's order is (time, channel).
    """

    steps: int
    channels: int
    time_first: bool


def is_single(tensor: IoTensor) -> bool:
    """Whether axis 0 is the sample and one call takes or gives one."""
    return len(tensor.shape) > 1 and tensor.source_shape[0] is None and tensor.shape[0] in (1, None)


def samples(tensors: Sequence[IoTensor]) -> int:
    """How many samples one call takes: 1 except in files of a larger batch."""
    first = [t.shape[0] for t in tensors if t.shape and t.source_shape[0] is None]
    return max((size or 1 for size in first), default=1)


def sample_shape(tensor: IoTensor) -> tuple[int, ...]:
    """The file's shape, without axis 0 where that is the one sample of a call; a dimension that the caller chooses counts 1."""
    shape = file_shape(tensor)
    return shape[1:] if is_single(tensor) else shape


def file_shape(tensor: IoTensor) -> tuple[int, ...]:
    """The file's shape at one sample, or at the file's own batch."""
    return tuple(1 if size is None else size for size in tensor.shape)


def elements(tensor: IoTensor) -> int:
    """How many numbers one call takes or gives."""
    return prod(file_shape(tensor))


def window(tensor: IoTensor) -> Window | None:
    """The window of a signal: an input of shape (batch, time, channel) or (batch, channel, time), the longer axis being
    time.
    """
    shape = file_shape(tensor)
    if len(shape) != 3 or not is_single(tensor) or tensor.dtype not in ("float32", *RANGES) or shape[1] == shape[2]:
        return None
    time_first = tensor.layout == "channels_last" or shape[1] > shape[2]
    steps, channels = (shape[1], shape[2]) if time_first else (shape[2], shape[1])
    return Window(steps, channels, time_first) if steps > channels and channels <= _MOST_CHANNELS else None


def identifiers(tensors: Sequence[IoTensor], fallback: str, *, snake: bool = False) -> list[str]:
    """Names that are identifiers in Python and Kotlin, in camel (or snake) case, no two alike."""
    names: list[str] = []
    for tensor in tensors:
        words = re.sub(r"[^A-Za-z0-9]+", " ", tensor.name).split()
        parts = [word.lower() if snake or not i else word.capitalize() for i, word in enumerate(words)]
        name = ("_" if snake else "").join(parts)
        if not re.match(r"[a-z]", name) or keyword.iskeyword(name) or _RESERVED.fullmatch(name):
            name = fallback
        count = 1
        while (unique := name if count == 1 else f"{name}{count}") in names:
            count += 1
        names.append(unique)
    return names


def axes(tensor: IoTensor) -> str:
    """The order of the file's axes in words, without the batch of one: ``height, width, channel``."""
    order = _axes_of_sample(tensor)
    return f"sample, {order}" if len(tensor.shape) > 1 and samples([tensor]) > 1 else order


def _axes_of_sample(tensor: IoTensor) -> str:
    rank = len(tensor.shape)
    if tensor.layout == "channels_last":
        return {4: "height, width, channel", 3: "time, channel"}.get(rank, "as in the model, the channel last")
    if rank == 4:
        return "channel, height, width"
    if (given := window(tensor)) is not None:
        return "time, channel" if given.time_first else "channel, time"
    return "as in the model"


def raw_values(tensor: IoTensor) -> str:
    """Which values the app passes."""
    given = tensor.preprocessing
    if given is None:
        return "values as in training" if tensor.dtype == "float32" or tensor.scale is not None else f"{tensor.dtype} values"
    scale, mean, std = given.get("scale", 1.0), list(given.get("mean", ())), list(given.get("std", ()))
    formula = f"x / {scale:g}" if scale != 1.0 else "x"
    formula = f"({formula} - {mean})" if mean else formula
    formula = f"{formula} / {std}" if std else formula
    return f"raw values; the file itself computes {formula}"


def quantization(tensor: IoTensor) -> tuple[float, int]:
    """Scale and zero point from what the app passes to the file's integers: ``integer = round(value / scale) + zero_point``.

    Where the tensor's own quantisation does the preprocessing, its real values are the preprocessed ones; raw values then have
    a scale and zero point of their own.
    """
    assert tensor.scale is not None
    given = tensor.preprocessing
    if given is None or not given.get("by_quantization"):
        return tensor.scale, tensor.zero_point
    # Only numbers that are the same for all channels are done by a quantisation.
    mean, std = (next(iter(given.get(key) or (default,))) for key, default in (("mean", 0.0), ("std", 1.0)))
    raw = float(np.float32(given.get("scale", 1.0) * std * tensor.scale))
    return (1.0 if abs(raw - 1.0) < 1e-6 else raw), round(tensor.zero_point - mean / (std * tensor.scale))


def takes_bytes(tensor: IoTensor) -> bool:
    """Whether the app's own bytes are the file's bytes: uint8 without a conversion on the way."""
    return tensor.dtype == "uint8" and (tensor.scale is None or quantization(tensor) == (1.0, 0))
