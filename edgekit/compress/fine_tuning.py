"""What the step ``fine_tune`` does."""

from __future__ import annotations

import time

from edgekit.compress.context import Context
from edgekit.compress.controls.application import compare, epochs_given, since_pruning
from edgekit.compress.controls.settings import controls_of
from edgekit.compress.fine_tune import FineTune
from edgekit.compress.recording import recorded
from edgekit.compress.tuning import tune
from edgekit.errors import UsageError
from edgekit.ir import Graph


def fine_tune(step: FineTune, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``FineTune.apply``."""
    started = time.perf_counter()
    controls, pruned = controls_of(step.controls), since_pruning(graph.history)
    if controls is not None and not pruned:
        raise UsageError(
            "'controls' compare a pruned network with its architecture trained from scratch, and no step before this pruned",
            where="fine_tune",
            hint="put a prune step before it, or leave 'controls' out",
        )
    tuned = tune(graph, data, step, step.distillation, context)
    result, details, notes = tuned.trained.graph, tuned.details(), tuned.notes
    if controls is not None:
        compared = compare(
            controls,
            result,
            tuned.trained,
            epochs=sum(epochs_given(record.details) for record in pruned) + epochs_given(details),
            macs_before=pruned[0].macs[0],
            settings=step,
            distillation=step.distillation,
            data=data,
            context=context,
        )
        details["controls"], notes = compared.details, (*notes, *compared.notes)
    return recorded("fine_tune", step, graph, result, started, warnings=tuned.warnings, notes=notes, details=details)
