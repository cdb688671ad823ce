"""Regions that the tracer sets apart as programs of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from edgekit.frontend.torch.context import Lowering

higher_order = torch.ops.higher_order


def subprogram(ctx: Lowering, read: Callable[[fx.Node], Any]) -> tuple[fx.GraphModule, Sequence[Any]]:
    """The program of a region and its traced arguments.

    These are ``no_grad`` regions (same values; gradients differ, which is noted) and ``autocast`` regions that switch it off.

    Raises:
        Unsupported: any other region (``torch.cond``, loops, autocast that lowers precision).
    """
    node, args = ctx.node, ctx.node.args
    if node.target is higher_order.wrap_with_set_grad_enabled:
        enabled, inner, *rest = args
        if not enabled:
            ctx.note("torch.no_grad() is not in the graph: in training, gradients flow here")
        return read(inner), rest  # type: ignore[arg-type]
    if node.target is higher_order.wrap_with_autocast:
        _, _, enabled, _, inner, *rest = args
        ctx.need(
            not enabled,
            "computes in reduced precision (torch.autocast)",
            "remove the autocast; the target decides the precision",
        )
        return read(inner), rest  # type: ignore[arg-type]
    raise ctx.refused(
        f"'{node.target}' has no form in the graph: it chooses what to compute while running",
        "compute both results and choose with torch.where",
    )
