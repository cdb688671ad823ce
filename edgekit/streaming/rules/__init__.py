"""One rule per op: how it runs on the steps of one call."""

from edgekit.streaming.rules import elementwise, joining, movement, products, recurrent, reductions, windows
from edgekit.streaming.rules.table import RULES

__all__ = ["RULES", "elementwise", "joining", "movement", "products", "recurrent", "reductions", "windows"]
