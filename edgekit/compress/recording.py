"""The record that every step leaves: what it cost and gained, counted the same way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

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
    """``after`` with the history of ``before`` and one record more.

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
    return after
