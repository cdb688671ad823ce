"""Ops without a lowering, taken apart by torch itself into ops that may have one."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor

from edgekit.frontend.torch.table import is_nondeterministic, lowerings


def decomposed(node: fx.Node) -> fx.GraphModule | None:
    """The program that torch puts in place of one traced op, or None where it has none.

    Its placeholders are the tensors among the op's arguments, in order.
    """
    from torch._decomp import core_aten_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    target = node.target
    if not isinstance(target, OpOverload) or is_nondeterministic(target):
        return None
    traced = [n.meta.get("val") for n in node.all_input_nodes]
    mode = next((t.fake_mode for t in traced if isinstance(t, FakeTensor)), None)
    rules: dict[Any, Any] = core_aten_decompositions()
    table = {op: rule for op, rule in rules.items() if op not in lowerings()}
    can_be_taken_apart = target in table or target._can_decompose()
    if mode is None or not can_be_taken_apart:
        return None

    def apply(*tensors: torch.Tensor) -> Any:
        given = dict(zip(tensor_arguments(node), tensors, strict=True))
        args = fx.node.map_arg(node.args, lambda n: given.get(n, n.meta["val"]))
        kwargs = fx.node.map_arg(node.kwargs, lambda n: given.get(n, n.meta["val"]))
        return target(*args, **kwargs)

    try:
        with mode:
            return make_fx(apply, decomposition_table=table)(*[n.meta["val"] for n in tensor_arguments(node)])
    except Exception:  # whatever a decomposition does with arguments that nobody tried: there is no form then
        return None


def tensor_arguments(node: fx.Node) -> list[fx.Node]:
    """The tensors that a traced op reads."""
    return [n for n in node.all_input_nodes if isinstance(n.meta.get("val"), torch.Tensor)]
