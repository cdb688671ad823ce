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
from edgekit.compress.prune.coupling.elementwise import unary
from edgekit.compress.prune.coupling.movement import permute
from edgekit.compress.prune.coupling.reshape import reshape as reshape_
from edgekit.compress.prune.coupling.table import COUPLES, SHRINKS

#: Ops after which channels that were merged with the batch are still known.
ANY_BATCH = (unary, permute, reshape_)

__all__ = [
    "ANY_BATCH",
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
