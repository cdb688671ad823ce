"""Fields that rewriting steps share, checked; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.checks import Fields
from edgekit.compress.given import options_of

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
        layers: parameters or modules to rewrite, by name or pattern (``layer3.*``); all if empty. keep: those to leave.
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
        check = Fields(name)
        if len(given) != 1:
            raise check.refusal("", f"'{name}' takes exactly one amount, not {', '.join(given) or 'none'}", hint)
        for budget in BUDGETS:
            means = "a share or an amount that is kept, above 0"
            check.number(budget, getattr(self, budget), means, f"{budget} = 0.5 keeps half", above=0, optional=True)
        means = "relative to the layer's weights or outputs, from 0 to below 1"
        check.number("error", self.error, means, "error = 0.3", least=0, below=1, optional=True)
        check.word("judge", self.judge, JUDGES)
        check.word("init", self.init, INITS)
        check.names("layers", self.layers)
        check.names("keep", self.keep)
        check.whole("seed", self.seed, 0, "seed = 1")
