"""What was done to a graph: one frozen record for each compression step and each training between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepRecord:
    """One step: what it was asked, what it cost and what it gained.

    All of it is plain data (numbers, strings, lists and dicts of them), so that it can be written into files and read anywhere.

    Attributes:
        step: the step's name, as in ``[[recipe]] step = "prune"``.
        options: its options, as in the recipe.
        macs: multiply-accumulates of one sample, before and after.
        parameters: number of parameters, before and after.
        weight_bytes: bytes of all constants in the form in which an artifact would hold them, before and after.
        metrics: the user's metrics, before (None where it was not measured) and after.
        seconds: time that the step took.
        removed: for each parameter, the indices removed along each axis, in the names and indices of the graph that the step
        was given. declined: what the step left alone, by name, and why. warnings: what the user should look at; ``--strict``
        counts them as failure. notes: what the user should know, and need not mend. details: what only this kind of step knows.
    """

    step: str
    options: Mapping[str, Any] = field(default_factory=dict)
    macs: tuple[int, int] = (0, 0)
    parameters: tuple[int, int] = (0, 0)
    weight_bytes: tuple[int, int] = (0, 0)
    metrics: Mapping[str, tuple[float | None, float]] = field(default_factory=dict)
    seconds: float = 0.0
    removed: Mapping[str, Mapping[int, tuple[int, ...]]] = field(default_factory=dict)
    declined: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; axes become strings, as JSON wants them."""
        data = asdict(self)
        data["removed"] = {name: {str(axis): list(i) for axis, i in axes.items()} for name, axes in self.removed.items()}
        return data

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> StepRecord:
        """The record of what ``as_dict`` made, after a trip through JSON. TypeError for an unknown field."""
        fields = dict(data)
        for name in ("macs", "parameters", "weight_bytes", "warnings", "notes"):
            fields[name] = tuple(fields.get(name, ()))
        fields["metrics"] = {name: (before, after) for name, (before, after) in fields.get("metrics", {}).items()}
        fields["removed"] = {
            name: {int(axis): tuple(indices) for axis, indices in axes.items()}
            for name, axes in fields.get("removed", {}).items()
        }
        return StepRecord(**fields)
