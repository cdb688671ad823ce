"""Quantisation-aware training: rounding is part of the training, and the artifact's integers are those that were trained."""

from edgekit.compress.qat.step import QAT

__all__ = ["QAT"]
