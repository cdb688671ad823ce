"""Several networks of one form as one graph, whose outputs are the means of theirs."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from edgekit.errors import Unsupported
from edgekit.ir import Graph, Value, ops


def ensemble_graph(graphs: Sequence[Graph]) -> Graph:
    """The mean of the outputs of all graphs, over the same inputs: f(x) = (1 / K) * sum_k f_k(x).

    Of graphs that end in probabilities this is the arithmetic mean of these, of graphs that end in logits their geometric mean
    up to normalisation. Source: Furlanello et al. 2018, arXiv:1805.04770, section 3.2.

    Args:
        graphs: of one form; their tensors are copied. Parameters of graph k are called ``generation{k}.`` and their name.

    Returns:
        A graph with the first one's inputs, outputs and signature.

    Raises:
        Unsupported: an output that has no mean, because it is no float.
    """
    merged = Graph(graphs[0].name)
    merged.signature, merged.notes = graphs[0].signature, list(graphs[0].notes)
    inputs = [merged.add_input(value.name, value.type) for value in graphs[0].inputs]
    for value in graphs[0].outputs:
        if not value.type.is_float:
            raise Unsupported(
                f"output '{value.name}' is {value.type}: an ensemble averages floats",
                where=value.name,
                hint="ensemble = false keeps the last generation; or let the model end before the rounding",
            )
        if not any(value is x for x in graphs[0].inputs):
            merged.unique_name(value.name)  # kept for the mean, wherever the name is met first
    outputs = [_added(merged, copy.deepcopy(graph), inputs, f"generation{k}.") for k, graph in enumerate(graphs, 1)]
    share = merged.constant(torch.tensor(1.0 / len(graphs)), "share")
    for index, value in enumerate(graphs[0].outputs):
        total = outputs[0][index]
        for other in outputs[1:]:
            total = merged.add(ops.Add(), total, other[index], name="sum")
        mean = merged.add(ops.Mul(), total, share, name="mean")
        mean.name = value.name
        merged.outputs.append(mean)
    return merged


def _added(merged: Graph, graph: Graph, inputs: Sequence[Value], prefix: str) -> list[Value]:
    """Puts a graph's nodes and state into another; its outputs there."""
    there: dict[int, Value] = {id(mine): value for mine, value in zip(graph.inputs, inputs, strict=True)}
    for name, value in graph.state.items():
        known = there.get(id(value))
        held = value.tensor if known is None else known
        there[id(value)] = merged.add_state(prefix + name, held, transient=name in graph.transient)
    for node in graph.nodes:
        for read in node.inputs:
            if read is not None and id(read) not in there:
                there[id(read)] = merged.constant(read.tensor, prefix + read.name)
        wanted = [None if value is None else there[id(value)] for value in node.inputs]
        types = [value.type for value in node.outputs]
        made = merged.add_node(node.op, wanted, name=prefix + node.name, where=node.where, types=types)
        there.update({id(mine): value for mine, value in zip(node.outputs, made.outputs, strict=True)})
    return [there[id(value)] for value in graph.outputs]
