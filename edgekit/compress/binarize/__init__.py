"""Binary networks: weights, or weights and activations, of one bit."""

from edgekit.compress.binarize.step import Binarize

__all__ = ["Binarize"]
