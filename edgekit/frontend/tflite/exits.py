"""The choice between a network's exits, as edgekit writes it: IF an exit is sure enough, its answer, else a later one's."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.frontend.tflite.context import Lowering
from edgekit.ir import Node, Value, ops
from edgekit.ir.ops import Op


@dataclass(frozen=True)
class SureExit:
    """A condition: ``certainty(logits, score, temperature) > threshold``."""

    score: str
    temperature: float
    threshold: float
    logits: Value


def sure_exit(condition: Value) -> SureExit | None:
    """What a computed condition asks; None where it asks something else."""
    node = _made(condition, ops.Greater)
    limit = None if node is None else _number(node.input(1))
    if node is None or limit is None:
        return None
    score = node.input(0).producer
    if score is None:
        return None
    return _confidence(score, limit) or _margin(score, limit) or _entropy(score, limit)


def choose_exit(ctx: Lowering, exit: SureExit, early: Value, late: Value) -> Value:
    """The choice; a choice among later exits becomes part of it.

    Raises:
        Unsupported: the early answer is not what the condition looks at.
    """
    ctx.need(early is exit.logits, "gives something else than the logits that its condition is about", "a plain early exit")
    later = _made(late, ops.ChooseExit)
    if later is not None and isinstance(later.op, ops.ChooseExit) and later.op.score == exit.score:
        op, rest = later.op, later.inputs
        choice = ops.ChooseExit(exit.score, (exit.temperature, *op.temperatures), (exit.threshold, *op.thresholds))
        return ctx.add(choice, early, *rest)
    return ctx.add(ops.ChooseExit(exit.score, (exit.temperature,), (exit.threshold,)), early, late)


def _confidence(score: Node, limit: float) -> SureExit | None:
    p = score.input(0) if isinstance(score.op, ops.Amax) else None
    found = None if p is None else _probabilities(p)
    return None if found is None else SureExit("confidence", found[0], limit, found[1])


def _margin(score: Node, limit: float) -> SureExit | None:
    """The largest probability minus the largest of the others, the first one set to zero."""
    if not isinstance(score.op, ops.Sub):
        return None
    best, second = (_made(x, ops.Amax) for x in (score.input(0), score.input(1)))
    others = None if second is None else _made(second.input(0), ops.Where)
    if best is None or others is None or others.input(2) is not best.input(0) or _number(others.input(1)) != 0.0:
        return None
    found = _probabilities(best.input(0))
    return None if found is None else SureExit("margin", found[0], limit, found[1])


def _entropy(score: Node, limit: float) -> SureExit | None:
    """sum p log p, which is (certainty - 1) log(classes)."""
    terms = _made(score.input(0), ops.Mul) if isinstance(score.op, ops.Sum) else None
    p = None if terms is None else _made(terms.input(0), ops.Exp)
    logs = None if terms is None else _made(terms.input(1), ops.LogSoftmax)
    if p is None or logs is None or p.input(0) is not logs.output:
        return None
    temperature, logits = _scaled(logs.input(0))
    return SureExit("entropy", temperature, 1.0 + limit / math.log(logits.tensor_shape[-1]), logits)


def _probabilities(p: Value) -> tuple[float, Value] | None:
    softmax = _made(p, ops.Softmax)
    return None if softmax is None else _scaled(softmax.input(0))


def _scaled(x: Value) -> tuple[float, Value]:
    """Temperature and logits: times a number, which is the inverse of the temperature, and converted from integers."""
    node, temperature = _made(x, ops.Mul), 1.0
    factor = None if node is None else _number(node.input(1))
    if node is not None and factor:
        x, temperature = node.input(0), 1.0 / factor
    converted = _made(x, ops.Identity)
    return temperature, x if converted is None else converted.input(0)


def _made(value: Value, kind: type[Op]) -> Node | None:
    """The node that gives a value, if it is of this kind."""
    return value.producer if value.producer is not None and isinstance(value.producer.op, kind) else None


def _number(value: Value) -> float | None:
    """A constant of one element."""
    return float(value.tensor.reshape(())) if value.is_constant and value.type.numel() == 1 else None
