"""Early exits: classifiers on the way that answer for the easy samples, and the policy that says when."""

from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.step import EarlyExit

__all__ = ["EarlyExit", "Head"]
