"""Branches that are decided while loading."""

from __future__ import annotations

from typing import Any

from edgekit.frontend.onnx.context import Lowering, Operand
from edgekit.frontend.unrolling import WHICH_BRANCH

_HINT = "export the model for one of its branches: what decides between them must be a constant of the file"


def chosen_branch(ctx: Lowering, inputs: list[Operand | None]) -> Any:
    """The ``GraphProto`` of an If that its condition selects.

    Raises:
        Unsupported: the condition is computed at run time, or the node has not both branches.
    """
    branches = {attribute.name: attribute.g for attribute in ctx.node.attribute if attribute.HasField("g")}
    ctx.need({"then_branch", "else_branch"} <= set(branches), "has not both branches")
    ctx.need(len(inputs) == 1 and inputs[0] is not None, "has no condition")
    assert inputs[0] is not None
    condition = ctx.tensor(inputs[0])
    ctx.need(condition.is_constant, WHICH_BRANCH, _HINT)
    ctx.need(condition.tensor.numel() == 1, "has a condition of several elements")
    return branches["then_branch" if bool(condition.tensor.reshape(())) else "else_branch"]
