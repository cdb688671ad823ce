"""Fields that rewriting steps share, checked; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.compress.given import options_of
from edgekit.errors import UsageError
from edgekit.tables import did_you_mean

#: Amounts that are kept: a share up to 1.0, an amount above.
BUDGETS = ("macs", "parameters")

#: What errors are taken of.
JUDGES = ("auto", "weights", "outputs")

#: How the new factors begin.
INITS = ("svd", "random")


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """What rewriting steps have in common.

    Attributes:
        macs: multiply-accumulates kept in the whole graph: a share up to 1.0, an amount above. Errors are spread so that the
            sum of their squares is small.
        parameters: parameters kept, likewise.
        error: the relative error that each layer may make; it takes what is cheapest within.
        judge: errors are of "weights", of layers' "outputs" on data, or ("auto") of outputs where data is given.
        layers: parameters or modules to rewrite; all if empty. keep: those to leave.
        refit: the last factors are fitted to data by least squares, layer by layer; needs data.
        absorb: the mean of the error goes into the bias, or the batch norm behind; needs data.
        reestimate: batch-norm statistics are measured again at the end; needs data.
        allow_dearer: rewrite also where it costs more, to study it.
        init: "svd", or "random" as the control.
        seed: of samples and random numbers.
    """

    macs: float | None = None
    parameters: float | None = None
    error: float | None = None
    judge: str = "auto"
    layers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    refit: bool = False
    absorb: bool = False
    reestimate: bool = False
    allow_dearer: bool = False
    init: str = "svd"
    seed: int = 0

    def options(self) -> dict[str, Any]:
        """The fields that were given, as they stand in a recipe."""
        return options_of(self)

    def _check(self, name: str, own: tuple[str, ...], hint: str) -> None:
        """The common fields; ``own`` are the amounts that this step has besides.

        Raises:
            UsageError: no amount or several, one out of range, an unknown word.
        """
        given = [amount for amount in (*BUDGETS, "error", *own) if getattr(self, amount) is not None]
        if len(given) != 1:
            raise UsageError(f"'{name}' takes exactly one amount, not {', '.join(given) or 'none'}", hint=hint)
        value = getattr(self, given[0])
        if given[0] in BUDGETS and not value > 0:
            raise UsageError(f"'{given[0]}' is a share or an amount that is kept, above 0, not {value}")
        if given[0] == "error" and not 0 <= value < 1:
            raise UsageError(f"'error' is relative to the layer's weights or outputs, from 0 to below 1, not {value}")
        check_choice("judge", self.judge, JUDGES)
        check_choice("init", self.init, INITS)


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """UsageError with the nearest known word for an unknown one."""
    if value not in known:
        raise UsageError(f"unknown {name} '{value}'", hint=did_you_mean(value, known))
