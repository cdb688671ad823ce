"""How channels couple through each op: one small file per family, entered in ``table.COUPLES`` and ``table.SHRINKS``."""

from edgekit.compress.prune.coupling import (
    attention,
    balance,
    convolution,
    elementwise,
    joining,
    linear,
    movement,
    norm,
    recurrent,
    reduction,
    reshape,
    window,
)
from edgekit.compress.prune.coupling.context import Choice, Coupling, stays
from edgekit.compress.prune.coupling.table import COUPLES, SHRINKS

__all__ = [
    "COUPLES",
    "SHRINKS",
    "Choice",
    "Coupling",
    "attention",
    "balance",
    "convolution",
    "elementwise",
    "joining",
    "linear",
    "movement",
    "norm",
    "recurrent",
    "reduction",
    "reshape",
    "stays",
    "window",
]
