"""Emitters, one file per family of ops. Importing this package fills ``edgekit.export.onnx.registry.EMITTERS``."""

from edgekit.export.onnx.emitters import (
    activation,
    attention,
    binary,
    convolution,
    early_exit,
    elementwise,
    linear,
    movement,
    normalization,
    pooling,
    recurrent,
    reduction,
    resize,
)

__all__ = [
    "activation",
    "attention",
    "binary",
    "convolution",
    "early_exit",
    "elementwise",
    "linear",
    "movement",
    "normalization",
    "pooling",
    "recurrent",
    "reduction",
    "resize",
]
