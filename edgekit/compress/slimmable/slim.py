"""The compression step ``slim``: a recipe goes on with one size of a slimmable network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.checks import Fields
from edgekit.compress.context import Context
from edgekit.compress.gauging.asked import MEASURED, check_measured, is_measured
from edgekit.compress.given import options_of, takes_a_graph

if TYPE_CHECKING:
    from edgekit.ir import Graph

#: Budgets that the record of the step ``slimmable`` answers.
COUNTED = ("macs", "parameters")

_OWN = Fields("slim")
_WAYS = ("width", *COUNTED, *MEASURED)
_HINT = "width = 0.5 names a size; macs = 0.5 takes the largest one within half of the multiply-accumulates"


@dataclass(frozen=True)
class Slim:
    """Takes one size out of a slimmable network: an ordinary network, which other steps may change.

    Exactly one of the amounts is given. A budget takes the largest size that is within it. Budgets that are measured are of
    the file that the build makes for its first target, else of an int8 TFLite file where there is data to calibrate it with,
    else of a float32 one.

    Attributes:
        width: one of its widths.
        depth: one of its depths; goes with ``width``.
        macs: multiply-accumulates at most: a share of the whole network's up to 1.0, an amount above.
        parameters: likewise.
        bytes: of the file at most, likewise.
        instructions: ARM64 instructions per inference at most, likewise, counted under emulation.
        latency: the share of the latency at most, timed.
        latency_ms: milliseconds per inference at most, timed.
        on: where instructions ("qemu:cortex-a53" and the like) or latency ("local", "ssh://user@host", "adb") are measured.

    Raises:
        UsageError: a field that can't be.
    """

    width: float | None = None
    depth: float = 1.0
    macs: float | None = None
    parameters: float | None = None
    bytes: float | None = None
    instructions: float | None = None
    latency: float | None = None
    latency_ms: float | None = None
    on: str = ""

    def __post_init__(self) -> None:
        given = [name for name in _WAYS if getattr(self, name) is not None]
        if len(given) != 1:
            raise _OWN.refusal("", f"'slim' takes a width or one budget, not {', '.join(given) or 'none'}", _HINT)
        means = "a share of the channels, above 0 and up to 1"
        _OWN.number("width", self.width, means, "width = 0.5", above=0, most=1, optional=True)
        _OWN.number("depth", self.depth, "a share of the blocks, above 0 and up to 1", "depth = 0.5", above=0, most=1)
        if self.width is None:
            means, hint = "a share or an amount that is kept, above 0", f"{given[0]} = 0.5 keeps half"
            _OWN.number(given[0], getattr(self, given[0]), means, hint, above=0)
            if self.depth != 1:
                raise _OWN.refusal("depth", "'depth' names a size together with 'width'", "width = 1.0, depth = 0.5")
        check_measured(_OWN, self)

    @property
    def is_measured(self) -> bool:
        """The budget is of a file: of its bytes, or of the instructions or the latency that the harness measures."""
        return is_measured(self)

    @takes_a_graph
    def apply(self, graph: Graph, data: object | None = None, *, context: Context | None = None) -> Graph:
        """A size as a graph with tensors of its own, whose history has one record more.

        Its ``details`` have "size" (name, width and depth) and, where a budget was measured, "measured".

        Args:
            graph: as the step ``slimmable`` returned it; is left as it is.
            data: calibrates the file that is measured.
            context: of the recipe.

        Raises:
            UsageError: the graph is not slimmable, or has no such size.
            OverBudget: the smallest size is over the budget.
            Unsupported: the graph cannot be exported to be measured.
            DeviceError: the harness cannot measure here.
        """
        from edgekit.compress.slimmable.choosing import slim

        return slim(self, graph, data, context or Context())

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)
