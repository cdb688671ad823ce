"""Small structures in which channels couple in every way that networks couple them."""

from tests.compress.prune.structures import attention, chains, groups, joins, norms, parameters, sequences, transposed
from tests.compress.prune.structures.common import STRUCTURES, Structure

__all__ = [
    "STRUCTURES",
    "Structure",
    "attention",
    "chains",
    "groups",
    "joins",
    "norms",
    "parameters",
    "sequences",
    "transposed",
]
