"""What is said of biases that absorbed removed channels, and of statistics that were measured again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Layers that a note names.
_NAMED = 3


def refinement_notes(details: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences for the report; none where a removal (or the last of several) had neither.

    Args:
        details: of a record of ``prune``, or of one of its rounds.
    """
    notes = []
    if "absorbed" in details:
        count, left = len(details["absorbed"]), details["not_absorbed"]
        layers = "1 layer" if count == 1 else f"{count} layers"
        text = f"{layers} took the mean of the removed channels into biases or norms"
        if left:
            named = "; ".join(f"{name} ({why})" for name, why in list(left.items())[:_NAMED])
            text += f", {len(left)} could not: {named}" + ("; ..." if len(left) > _NAMED else "")
        notes.append(text)
    if "batch_norms_reestimated" in details:
        count = details["batch_norms_reestimated"]
        notes.append(f"the statistics of {count} batch norm{'' if count == 1 else 's'} were measured again")
    return tuple(notes)
