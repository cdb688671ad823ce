"""Structured pruning: whole channels go, with everything that is coupled to them."""

from edgekit.compress.prune.step import Prune

__all__ = ["Prune"]
