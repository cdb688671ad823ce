"""Single weights set to zero, for codes and clusters later: no kernel gets faster by it."""

from edgekit.compress.sparsify.step import Sparsify

__all__ = ["Sparsify"]
