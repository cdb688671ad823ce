"""Emitters: one file per family of ops. Importing this package fills the table."""

from edgekit.export.tflite.emitters import (
    activation,
    binary,
    convolution,
    early_exit,
    elementwise,
    linear,
    movement,
    pooling,
    recurrent,
    reduction,
    resize,
    selection,
    transposed,
)

__all__ = [
    "activation",
    "binary",
    "convolution",
    "early_exit",
    "elementwise",
    "linear",
    "movement",
    "pooling",
    "recurrent",
    "reduction",
    "resize",
    "selection",
    "transposed",
]
