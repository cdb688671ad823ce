"""How much a channel matters: one file per criterion, entered in ``CRITERIA``."""

from edgekit.compress.prune.criteria import activity, geometric_median, magnitude, random_order, scale, taylor
from edgekit.compress.prune.criteria.table import CRITERIA, Evidence, NotDefined

__all__ = [
    "CRITERIA",
    "Evidence",
    "NotDefined",
    "activity",
    "geometric_median",
    "magnitude",
    "random_order",
    "scale",
    "taylor",
]
