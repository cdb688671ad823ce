"""Cross-layer equalisation: the same function with weights whose channels are of one size."""

from edgekit.compress.equalize.step import Equalize

__all__ = ["Equalize"]
