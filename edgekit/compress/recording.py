"""The record that every step leaves: what it cost and gained, counted the same way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from edgekit.compress.prune.budget import weight_bytes
from edgekit.ir import Graph
from edgekit.ir.history import StepRecord


class Asked(Protocol):
    """What a record tells of the step."""

    def options(self) -> dict[str, Any]:
        """The fields that were given."""


def recorded(
    name: str,
    step: Asked,
    before: Graph,
    after: Graph,
    started: float,
    *,
    details: Mapping[str, Any],
    warnings: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    declined: Mapping[str, str] | None = None,
    removed: Mapping[str, Mapping[int, tuple[int, ...]]] | None = None,
) -> Graph:
    """``after`` with the history of ``before``, one record more, and weights of its own.

    A graph's copy shares tensors with it. What a step returns does not: who trains it in a loop of his own leaves the graph
    that the step was given, a teacher perhaps, as it is.

    Args:
        name: of the step, as in ``[[recipe]]``.
        step: has the options.
        before: the graph that the step was given.
        after: its result; the history is set in place.
        started: what ``time.perf_counter`` was when it began.
        details: see ``StepRecord``.
        warnings: likewise; what is said twice is kept once.
        notes: likewise.
        declined: likewise.
        removed: likewise.
    """
    record = StepRecord(
        step=name,
        options=step.options(),
        macs=(before.macs, after.macs),
        parameters=(before.parameters, after.parameters),
        weight_bytes=(weight_bytes(before), weight_bytes(after)),
        seconds=time.perf_counter() - started,
        removed=removed or {},
        declined=declined or {},
        warnings=tuple(dict.fromkeys(warnings)),
        notes=tuple(dict.fromkeys(notes)),
        details=details,
    )
    after.history = (*before.history, record)
    _own_tensors(before, after)
    return after


def _own_tensors(before: Graph, after: Graph) -> None:
    """Copies every tensor that the two graphs share."""
    shared = {value.tensor.untyped_storage().data_ptr() for value in before.constants()}
    for value in after.constants():
        old = value.tensor
        if old.numel() and old.untyped_storage().data_ptr() in shared:
            data = old.detach().clone()
            value.data = nn.Parameter(data, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else data
