"""A budget that only a measurement tells, as a step's fields ask for it. Imports nothing heavy."""

from __future__ import annotations

from typing import Protocol

from edgekit.checks import Fields

#: Amounts that only a measurement tells.
MEASURED = ("bytes", "instructions", "latency", "latency_ms")


class MeasuredBudget(Protocol):
    """The fields of a step that may be held to what was measured of a file; those that were not given are None.

    Attributes:
        bytes: of the file kept: a share up to 1.0, an amount above.
        instructions: per inference kept, likewise.
        latency: the share of the latency kept.
        latency_ms: milliseconds per inference.
        on: where instructions or latency are measured; empty for the default.
    """

    @property
    def bytes(self) -> float | None:
        """See above."""

    @property
    def instructions(self) -> float | None:
        """See above."""

    @property
    def latency(self) -> float | None:
        """See above."""

    @property
    def latency_ms(self) -> float | None:
        """See above."""

    @property
    def on(self) -> str:
        """See above."""


def is_measured(step: MeasuredBudget) -> bool:
    """The step's budget is of a file: of its bytes, or of the instructions or the latency that the harness measures."""
    return any(getattr(step, name) is not None for name in MEASURED)


def check_measured(own: Fields, step: MeasuredBudget) -> None:
    """Refuses a share of latency above 1, and places where the budget is not measured.

    Raises:
        UsageError: such a field.
    """
    own.number(
        "latency", step.latency, "the share that is kept, up to 1", "latency_ms = 2.5 is an amount", most=1, optional=True
    )
    if step.on and (not is_measured(step) or step.bytes is not None):
        hint = "instructions = 0.5, latency = 0.5 or latency_ms = 2.5"
        raise own.refusal("on", "'on' says where a budget is measured", hint)
    if step.on and (step.instructions is not None) != (step.on.partition(":")[0] == "qemu"):
        what, where = ("instructions", "qemu:cortex-a53") if step.instructions is not None else ("latency", "local")
        raise own.refusal("on", f"{what} can't be measured on '{step.on}'", f'on = "{where}"')
