"""What removed channels gave their readers on average goes into the readers' biases."""

from edgekit.compress.prune.absorbing.application import absorb

__all__ = ["absorb"]
