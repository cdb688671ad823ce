"""A size of a trained slimmable network as a graph of its own."""

from __future__ import annotations

from edgekit.compress.slimmable.nested import Nested, nest
from edgekit.compress.slimmable.size import Size
from edgekit.compress.slimmable.slim import Slim
from edgekit.errors import UsageError
from edgekit.ir import Graph
from edgekit.ir.history import StepRecord

#: The step's name in a history, and that of the step that leaves one size.
STEP, ONE = "slimmable", "slim"


def record_of(graph: Graph) -> StepRecord | None:
    """What the step ``slimmable`` left in the history; None where the graph has one size, or one was taken since.

    Raises:
        UsageError: another step came behind it and changed one size of several.
    """
    found = [index for index, record in enumerate(graph.history) if record.step == STEP]
    if not found:
        return None
    later = graph.history[found[-1] + 1 :]
    if later and later[0].step == ONE:
        return None
    if later:
        raise UsageError(
            f"the step '{later[0].step}' came behind 'slimmable' and changed the whole network alone",
            where=graph.name,
            hint=_before(later[0].step) + "a step 'slim' between the two, edgekit.Slim(width=0.5), goes on with one width",
        )
    record: StepRecord = graph.history[found[-1]]
    return record


def _before(step: str) -> str:
    """Thresholds of exits are chosen for one network, so these can't come first."""
    return "" if step == "early_exit" else "put it before 'slimmable'; or "


def slimmable_record(graph: Graph) -> StepRecord:
    """The same where the graph must have several sizes.

    Raises:
        UsageError: it has one, or another step came behind ``slimmable``.
    """
    record = record_of(graph)
    if record is None:
        raise UsageError("the network is not slimmable", where=graph.name, hint="edgekit.Slimmable(...).apply(graph, data)")
    return record


def sizes_of(graph: Graph) -> tuple[Size, ...]:
    """The sizes of a slimmable network, the whole one first; () for any other graph.

    Raises:
        UsageError: another step came behind ``slimmable``.
    """
    record = record_of(graph)
    return () if record is None else tuple(Size(row["width"], row["depth"]) for row in record.details["sizes"])


def slimmed(graph: Graph, width: float = 1.0, depth: float = 1.0) -> Graph:
    """A size of a slimmable network: an ordinary graph with tensors of its own, as the step ``slim`` makes it.

    Args:
        graph: as the step ``slimmable`` returned it.
        width: one of its widths.
        depth: one of its depths.

    Raises:
        UsageError: the graph is not slimmable, or has no such size.
    """
    return Slim(width=width, depth=depth).apply(graph)


def nested_of(graph: Graph, wanted: Size) -> Nested:
    """How a size lies within a slimmable network; raises as ``slimmed``."""
    record, known = slimmable_record(graph), sizes_of(graph)
    here = {size.name: size for size in known}.get(wanted.name)  # a third is called 0.333333
    if here is None:
        listed = ", ".join(size.name for size in known)
        raise UsageError(f"the network has no size {wanted.name}", where=graph.name, hint=f"it has {listed}")
    options = record.options
    found = nest(graph, here, int(options.get("round_to", 1)), str(options.get("norms", "switchable")))
    return found.with_own(record.details.get("heads", ()))
