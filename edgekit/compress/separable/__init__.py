"""Convolutions as depthwise and pointwise ones."""

from edgekit.compress.separable.step import Separable

__all__ = ["Separable"]
