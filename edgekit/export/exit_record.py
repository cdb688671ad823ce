"""The exit rates that a graph's history tells, for the file's own record."""

from __future__ import annotations

from edgekit.formats.exit_rates import ExitRates
from edgekit.ir import Graph
from edgekit.ir.exits import exit_plan


def exit_rates(graph: Graph) -> ExitRates | None:
    """Those of the file itself where it has been run, else those that the last step of early exits measured; None for a graph
    without such a step, or without exits that save.
    """
    plan = exit_plan(graph)
    if plan is None or not plan.saves:
        return None
    for record in reversed(graph.history):
        details = getattr(record, "details", {}) if getattr(record, "step", "") == "early_exit" else {}
        for on in ("file", "evaluation", "held_out"):
            if on in details:
                rates = tuple(float(row["rate"]) for row in details[on]["exits"])
                return ExitRates(rates, int(details[on]["samples"]), on) if len(rates) == len(plan.regions) + 1 else None
    return None
