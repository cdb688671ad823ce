"""Everything in a model that can't be translated, reported together."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.errors import Unsupported
from edgekit.ir.types import Where

_HINT = "rewrite the layer with supported ops (`edgekit ops`), or add one: docs/adding-an-op.md"


@dataclass(frozen=True)
class Problem:
    """One thing that has no form in the graph: the source op, where it stands, and why (``""``: no lowering)."""

    op: str
    where: str
    reason: str = ""
    hint: str | None = None


class Problems:
    """Collects problems so that nobody meets them one by one.

    Args:
        model: what the model is called, for places that have no name of their own.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.found: list[Problem] = []

    def add_missing(self, op: str, where: Where, *, random: bool = False) -> None:
        """An op without lowering; ``random``: there can be none."""
        reason = f"'{op}' draws random numbers in inference" if random else ""
        hint = "draw them outside and pass them as an input" if random else None
        self._add(Problem(op, self._place(where), reason, hint))

    def add(self, op: str | None, where: Where | str | None, reason: str, hint: str | None) -> None:
        """An op whose lowering refuses, and why."""
        self._add(Problem(op or "", self._place(where), reason, hint))

    def _place(self, where: Where | str | None) -> str:
        known = where is not None and str(where) != str(Where())
        return str(where) if known else f"the model itself ({self.model})"

    def _add(self, problem: Problem) -> None:
        if problem not in self.found:
            self.found.append(problem)

    def raise_if_any(self) -> None:
        """Raises one ``Unsupported`` for all of them."""
        if not self.found:
            return
        if len(self.found) == 1:
            (only,) = self.found
            raise Unsupported(_what([only]), where=only.where, hint=only.hint or _HINT)
        width = max(len(_label(p)) for p in self.found)
        where = "\n".join(f"{_label(p):<{width}}  {p.where}" for p in self.found)
        hints = list(dict.fromkeys(p.hint or _HINT for p in self.found))
        raise Unsupported(_what(self.found), where=where, hint="\n".join(hints))


def _what(problems: list[Problem]) -> str:
    missing = list(dict.fromkeys(p.op for p in problems if not p.reason))
    reasons = list(dict.fromkeys(p.reason for p in problems if p.reason))
    ops = ", ".join(f"'{op}'" for op in missing)
    parts = [f"edgekit has no lowering for {ops}"] if missing else []
    return "; ".join(parts + reasons)


def _label(problem: Problem) -> str:
    return problem.op or "output"
