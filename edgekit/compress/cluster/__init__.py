"""Weights that share their values: a codebook for each layer, for delivery formats that store indices."""

from edgekit.compress.cluster.step import Cluster

__all__ = ["Cluster"]
