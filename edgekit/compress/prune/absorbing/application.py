"""Which layers read removed channels, and what becomes of their means."""

from __future__ import annotations

from typing import Any

import torch

from edgekit.compress.prune.absorbing.means import Means
from edgekit.compress.prune.absorbing.mixing import label_of, not_made_up_for
from edgekit.compress.prune.absorbing.places import NoPlace, add_constant
from edgekit.compress.prune.absorbing.recurrent import RECURRENT, absorb_recurrent, reads_removed
from edgekit.compress.prune.absorbing.sums import Reader, contribution, fixed_values, reader_of
from edgekit.compress.prune.analysis import Analysis, name_of
from edgekit.compress.prune.removal import Gone
from edgekit.ir import Graph

#: Said of a transposed convolution with a stride.
_ON_AVERAGE = "its stride gives every phase of the output another sum, and the bias takes their mean"


def absorb(
    analysis: Analysis, gone: Gone, small: Graph, batches: list[list[torch.Tensor]], *, may_grow: bool
) -> dict[str, Any]:
    """Adds to each reader's bias its weights of the removed channels times their mean.

    A channel whose batch-norm scale is zero is the constant act(beta): then this is exact, except where a kernel meets the
    zeros that its input is padded with: there the bias adds what all taps would, and fewer have data (Ye et al. 2018,
    arXiv:1802.00124). Others vary about their mean, and the bias takes the mean.

    Args:
        analysis: of the graph before.
        gone: what was removed.
        small: the graph after; changed in place.
        batches: inputs to take means on, in evaluation mode.
        may_grow: a layer that has no bias may get one.

    Returns:
        Details of the record: ``absorbed`` (what took it, by the name of the layer's weight), ``not_absorbed`` (why not) and,
        where there are some, ``absorbed_on_average`` (why it is no constant).
    """
    graph = analysis.graph
    names = name_of(graph)
    by_name = {node.outputs[0].name: node for node in small.nodes}  # which has nodes more, where channels are picked
    new_of = {id(node): by_name[node.outputs[0].name] for node in graph.nodes}
    fixed = fixed_values(graph)
    readers, recurrent = _readers(analysis, gone, fixed), [n for n in graph.nodes if reads_removed(analysis, gone, n)]
    means = Means(graph, readers.values(), recurrent, batches)
    absorbed: dict[str, str] = {}
    refused: dict[str, str] = {}
    on_average: dict[str, str] = {}
    for node in graph.nodes:
        reader = readers.get(id(node))
        name = label_of(node, names) if reader is None else names[id(reader.weight)]
        try:
            if reader is not None:
                channels = means.channels(reader) * reader.lost(analysis, gone)
                delta, is_constant = contribution(reader, means.weight(reader), channels)
                delta = delta[reader.kept_outputs(analysis, gone)]
                absorbed[name] = add_constant(small, new_of[id(node)], reader, delta, may_grow=may_grow)
                if not is_constant:
                    on_average[name] = _ON_AVERAGE
            elif id(node) in means.hidden:
                name = names[id(node.input(1 + node.op.STATES))]  # type: ignore[attr-defined]
                hidden = means.hidden[id(node)]
                absorbed[name] = absorb_recurrent(analysis, gone, small, node, new_of[id(node)], hidden, may_grow=may_grow)
            elif reader_of(node, fixed) is None and (reason := not_made_up_for(analysis, gone, node)):
                refused[name] = reason
        except NoPlace as reason:
            refused[name] = str(reason)
    small.verify()
    return {"absorbed": absorbed, "not_absorbed": refused, **({"absorbed_on_average": on_average} if on_average else {})}


def _readers(analysis: Analysis, gone: Gone, fixed: set[int]) -> dict[int, Reader]:
    """Layers of which some output that stays sums over removed channels, by the node's id."""
    found = {}
    for node in analysis.graph.nodes:
        reader = None if isinstance(node.op, RECURRENT) else reader_of(node, fixed)
        if reader is None:
            continue
        lost = reader.lost(analysis, gone)
        if lost.any() and bool(reader.reading(lost)[reader.kept_outputs(analysis, gone)].any()):
            found[id(node)] = reader
    return found
