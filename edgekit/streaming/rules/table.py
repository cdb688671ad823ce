"""The table of rules, keyed by the op's class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from edgekit.errors import Unsupported
from edgekit.ir import Node
from edgekit.ir.ops import Op
from edgekit.streaming.frames import Frames
from edgekit.streaming.timed import Timed

#: Converts a node of which at least one input is a stream; the inputs in their order, None for absent ones.
Rule = Callable[[Frames, Node, Any, Sequence["Timed | None"]], Sequence[Timed]]
F = TypeVar("F", bound=Rule)

RULES: dict[type[Op], Rule] = {}

#: What to try where an op mixes time steps in both directions.
CAUSAL = "a stream knows the past alone: pad on the left, and reduce over time at the end of the network"


def streams(*kinds: type[Op]) -> Callable[[F], F]:
    """Enters the decorated rule for these ops."""

    def enter(function: F) -> F:
        for kind in kinds:
            if kind in RULES:
                raise ValueError(f"two rules for '{kind.name}'")
            RULES[kind] = function
        return function

    return enter


def only(xs: Sequence[Timed | None]) -> Timed:
    """The first input, which must be there."""
    x = xs[0]
    assert x is not None
    return x


def whole(frames: Frames, node: Node, op: Op, xs: Sequence[Timed | None]) -> list[Timed]:
    """The node as it is, on the windows of its inputs."""
    found = [None if x is None else frames.window(x) for x in xs]
    ready = frames.together([x for x in found if x is not None])
    given = iter(ready)
    made = frames.clone(op, [None if x is None else next(given).value for x in found])
    moment = max((x.ready for x in ready), default=0)
    return [Timed(value, ready=moment) for value in made.outputs]


def stepwise(frames: Frames, x: Timed, op: Op, rest: Sequence[Timed | None] = (), axis: int | None = None) -> list[Timed]:
    """The node on the steps of one stream, each on its own; further inputs are constants."""
    x = frames.begun(x)
    made = frames.clone(op, [x.value, *(None if r is None else r.value for r in rest)])
    return [x.moved(value=value, axis=x.axis if axis is None else axis) for value in made.outputs]


def non_negative(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis % rank


def refuse(what: str, hint: str = CAUSAL) -> Unsupported:
    """What a rule raises; the place is added by the walk."""
    return Unsupported(what, hint=hint)
