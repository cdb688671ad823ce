"""Early exits: classifiers on the way that answer for the easy samples, and the policy that says when."""

from edgekit.compress.early_exit.step import EarlyExit, Head

__all__ = ["EarlyExit", "Head"]
