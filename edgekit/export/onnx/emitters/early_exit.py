"""The choice between exits: nested Ifs, each with the layers in its else branch that run if the exits before were unsure.

A branch's constants stand inside it: as outer ones ONNX Runtime would neither lay them out nor fuse integers (a third slower).
"""

from __future__ import annotations

import math

from edgekit.export.onnx.emission import Emission
from edgekit.export.onnx.registry import emits
from edgekit.export.onnx.writer import Branch, Tensor
from edgekit.ir import ops
from edgekit.ir.exits import ExitPlan, exit_plan
from edgekit.ir.graph import Node, Value


@emits(ops.ChooseExit)
def choose_exit(to: Emission, node: Node, op: ops.ChooseExit) -> Tensor | None:
    """If where an early answer saves something (`convert` gives such a file batch 1), else Where."""
    plan = exit_plan(to.graph)
    assert plan is not None
    if not plan.saves:
        return _select(to, node, op)
    result = _decide(to, plan, 0)
    if result is not None and node.output.quant is not None:
        to.bind_integers(node.output, result)
        return None
    return result


def _held(to: Emission, value: Value) -> Tensor:
    """What branches hand on: integers where the value is quantised, so that each branch ends in them."""
    return to.read(value) if value.quant is None else to.read_integers(value)


def _decide(to: Emission, plan: ExitPlan, index: int) -> Tensor | None:
    """The answer, given that the exits before ``index`` were unsure; None where a layer has no form in ONNX."""
    value = plan.node.input(index)
    if index == len(plan.regions):
        return to.add("Identity", _held(to, value))
    goes = _passes(to, value, plan.op, index)
    early, onward = Branch(), Branch()
    with to.within(early):
        early.output = to.add("Identity", _held(to, value))
    with to.within(onward):
        if not to.write_nodes(plan.regions[index]):
            return None
        to.scope = plan.node.name
        later = _decide(to, plan, index + 1)
        if later is None:
            return None
        onward.output = later
    for branch in (early, onward):
        branch.value = plan.node.output
        branch.kind = to.integers_of(plan.node.output)
    return to.add("If", goes, then_branch=early, else_branch=onward)


def _select(to: Emission, node: Node, op: ops.ChooseExit) -> Tensor:
    result = to.read(node.input(len(op.thresholds)))
    for index in reversed(range(len(op.thresholds))):
        value = node.input(index)
        result = to.add("Where", _passes(to, value, op, index), to.read(value), result)
    return result


def _passes(to: Emission, value: Value, op: ops.ChooseExit, index: int) -> Tensor:
    """A bool tensor (batch, 1): ``op.passes`` of the logits of exit ``index``."""
    logits, temperature, threshold = to.read(value), op.temperatures[index], op.thresholds[index]
    if temperature != 1.0:
        logits = to.add("Mul", logits, to.scalar(1.0 / temperature))
    last = to.ints([1])
    if op.score == "entropy":
        logs = to.add("LogSoftmax", logits, axis=-1)
        score = to.add("ReduceSum", to.add("Mul", to.add("Exp", logs), logs), last, keepdims=1)
        return to.add("Greater", score, to.scalar((threshold - 1.0) * math.log(value.tensor_shape[-1])))
    p = to.add("Softmax", logits, axis=-1)
    if op.score == "confidence":
        score = to.add("ReduceMax", p, last, keepdims=1)
    else:
        best, _ = to.add_many("TopK", [p, to.ints([2])], 2, axis=-1)
        first, second = to.add_many("Split", [best, to.ints([1, 1])], 2, axis=-1)
        score = to.add("Sub", first, second)
    return to.add("Greater", score, to.scalar(threshold))
