"""Layers as products of thinner ones."""

from edgekit.compress.low_rank.step import LowRank

__all__ = ["LowRank"]
