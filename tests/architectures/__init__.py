"""Architectures as their papers have them, written out: real blocks and widths, in a short and in the full depth."""

from tests.architectures import (
    classics,
    dense_prediction,
    densenet,
    detection,
    embeddings,
    ghostnet,
    mixers,
    mixnet,
    mobilenets,
    resnets,
    shufflenet,
    signals,
    speech,
    transformers,
)
from tests.architectures.common import ARCHITECTURES, Architecture

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "classics",
    "dense_prediction",
    "densenet",
    "detection",
    "embeddings",
    "ghostnet",
    "mixers",
    "mixnet",
    "mobilenets",
    "resnets",
    "shufflenet",
    "signals",
    "speech",
    "transformers",
]
