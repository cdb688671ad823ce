"""Subgraphs that operators of a file run: they become part of the graph where they are run."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.frontend.tflite.context import Lowering
from edgekit.frontend.tflite.held import Held, Sizes
from edgekit.frontend.unrolling import MOST_NODES


class PartsMissing(Exception):
    """A subgraph has operators without a form in the graph. They are on record: nothing is to be said of who runs it."""


def run(ctx: Lowering, index: int, inputs: Sequence[Held | Sizes]) -> tuple[Held | Sizes, ...]:
    """What a subgraph gives for these inputs, its operators written at this place.

    Raises:
        InputError: there is no such subgraph, or it takes other inputs.
        Unsupported: it runs itself, or all that is run becomes too much.
        PartsMissing: some of its operators have no form.
    """
    building = ctx.building
    if not 0 <= index < len(building.model.subgraphs):
        raise ctx.damaged(f"it runs the subgraph {index} of {len(building.model.subgraphs)}")
    around = index == 0 or index in building.calls
    ctx.need(not around, "runs the part of the model that it stands in", "convert the model again")
    subgraph = building.model.subgraphs[index]
    if len(inputs) != len(subgraph.inputs):
        raise ctx.damaged(f"{len(inputs)} inputs for the subgraph {index}, which takes {len(subgraph.inputs)}")
    building.written += len(subgraph.operators)
    ctx.need(building.written <= MOST_NODES, f"has {building.written} operators in all of its steps", "convert it in parts")
    results = building.run(index, inputs)
    if results is None:
        raise PartsMissing
    return results
