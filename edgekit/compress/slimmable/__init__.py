"""Slimmable networks: one set of weights that runs at several widths (Yu et al., arXiv:1812.08928, 1903.05134)."""

from edgekit.compress.slimmable.slim import Slim
from edgekit.compress.slimmable.step import Slimmable

__all__ = ["Slim", "Slimmable"]
