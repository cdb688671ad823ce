"""The positions and weights of ONNX's Resize, per axis (its operator's text; ``onnx/reference/ops/op_resize.py`` in words).

An axis is described by a matrix (new size, old size): each row says how an element of the result is made of the input's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

#: Sizes beyond these are no images: a damaged file asks for no impossible matrix.
LARGEST = 2**14


@dataclass(frozen=True)
class Settings:
    """The attributes of a Resize that are the same for all axes."""

    mode: str = "nearest"
    coordinates: str = "half_pixel"
    nearest: str = "round_prefer_floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


@dataclass(frozen=True)
class Axis:
    """One resized axis: sizes, the factor between them (which need not be their ratio), and the part to read."""

    old: int
    new: int
    scale: float
    start: float = 0.0
    end: float = 1.0


def positions(axis: Axis, mode: str) -> Array:
    """Where in the input each element of the result lies; unknown modes raise KeyError."""
    x, old, scale = np.arange(axis.new, dtype=np.float64), axis.old, axis.scale
    width = scale * old  # with given factors, the new size is this one rounded down
    forms: dict[str, Callable[[], Array]] = {
        "half_pixel": lambda: (x + 0.5) / scale - 0.5,
        "pytorch_half_pixel": lambda: (x + 0.5) / scale - 0.5 if axis.new > 1 else np.full_like(x, -0.5),
        "half_pixel_symmetric": lambda: old / 2 * (1 - int(width) / width) + (x + 0.5) / scale - 0.5,
        "align_corners": lambda: x * (old - 1) / (width - 1) if axis.new > 1 else np.zeros_like(x),
        "asymmetric": lambda: x / scale,
        "tf_half_pixel_for_nn": lambda: (x + 0.5) / scale,
        "tf_crop_and_resize": lambda: (
            axis.start * (old - 1) + x * (axis.end - axis.start) * (old - 1) / (axis.new - 1)
            if axis.new > 1
            else np.full_like(x, 0.5 * (axis.start + axis.end) * (old - 1))
        ),
    }
    return forms[mode]()


def outside(axis: Axis, settings: Settings) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Elements that tf_crop_and_resize takes from beyond the input."""
    if settings.coordinates != "tf_crop_and_resize":
        return np.zeros(axis.new, dtype=bool)
    at = positions(axis, settings.coordinates)
    return np.asarray((at < 0) | (at > axis.old - 1))


def nearest(axis: Axis, settings: Settings) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The element that each element of the result is; unknown roundings raise KeyError."""
    at = positions(axis, settings.coordinates)
    rounded: dict[str, Callable[[], Array]] = {
        "round_prefer_floor": lambda: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda: np.floor(at + 0.5),
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
    }
    return np.clip(rounded[settings.nearest](), 0, axis.old - 1).astype(np.int64)


def matrix(axis: Axis, settings: Settings) -> Array:
    """Weights of linear or cubic interpolation; with ``antialias`` the filter is as wide as the input is shrunk."""
    kernel = _linear if settings.mode == "linear" else lambda x: _cubic(x, settings.cubic)
    reach = 1 if settings.mode == "linear" else 2
    squeeze = min(axis.scale, 1.0) if settings.antialias else 1.0
    weights = np.zeros((axis.new, axis.old))
    for row, at in enumerate(positions(axis, settings.coordinates)):
        span = reach / squeeze
        places = np.arange(int(np.floor(at - span)), int(np.ceil(at + span)) + 1)
        shares = kernel((places - at) * squeeze)
        if settings.exclude_outside:
            shares = np.where((places >= 0) & (places < axis.old), shares, 0.0)
        if settings.exclude_outside or settings.antialias:
            shares = shares / shares.sum()
        np.add.at(weights[row], np.clip(places, 0, axis.old - 1), shares)
    return weights


def _linear(x: Array) -> Array:
    return np.asarray(np.clip(1 - np.abs(x), 0, 1))


def _cubic(x: Array, a: float) -> Array:
    """Keys 1981, doi:10.1109/TASSP.1981.1163711."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
