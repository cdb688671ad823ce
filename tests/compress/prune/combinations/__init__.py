"""Combinations of couplings that networks rarely have, each of them small."""

from tests.compress.prune.combinations import gates, joins, norms, sequences, weights
from tests.compress.prune.combinations.common import COMBINATIONS, Combination

__all__ = ["COMBINATIONS", "Combination", "gates", "joins", "norms", "sequences", "weights"]
