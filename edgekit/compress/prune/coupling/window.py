"""Ops that slide over positions and leave channels alone."""

from __future__ import annotations

import numpy as np

from edgekit.compress.prune.atoms import Labels
from edgekit.compress.prune.coupling.context import Coupling, stays
from edgekit.compress.prune.coupling.table import couples
from edgekit.ir import Node, ops


@couples(
    *[ops.MaxPool1d, ops.MaxPool2d, ops.AvgPool1d, ops.AvgPool2d],
    *[ops.AdaptiveAvgPool2d, ops.AdaptiveMaxPool2d, ops.Resize],
)
def window(node: Node, c: Coupling) -> None:
    """Channels pass, positions stay."""
    _channels(node, c, c.axis(node.input(0), 1))


@couples(ops.PixelShuffle)
def pixel_shuffle(node: Node, c: Coupling) -> None:
    """The r * r channels that become the positions of one go together."""
    area = node.op.factor**2  # type: ignore[attr-defined]
    rows = c.axis(node.input(0), 1).reshape(-1, area)
    for column in range(1, area):
        c.join(rows[:, 0], rows[:, column])
    _channels(node, c, rows[:, 0].copy())


@couples(ops.PixelUnshuffle)
def pixel_unshuffle(node: Node, c: Coupling) -> None:
    """The r * r channels that come from the positions of one go together."""
    _channels(node, c, np.repeat(c.axis(node.input(0), 1), node.op.factor**2))  # type: ignore[attr-defined]


def _channels(node: Node, c: Coupling, channels: Labels) -> None:
    x = node.input(0)
    c.fix_axes(x, range(2, x.type.rank), "positions are not channels")
    spatial = [stays(d) if isinstance(d, int) else stays(0) for d in node.output.shape[2:]]
    c.label(node.output, [c.axis(x, 0), channels, *spatial])
