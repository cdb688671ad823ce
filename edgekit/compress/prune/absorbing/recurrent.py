"""Recurrent layers: removed inputs go into the input biases of the gates, removed hidden units into the recurrent ones."""

from __future__ import annotations

import torch

from edgekit.compress.prune.absorbing.hidden import HiddenMeans
from edgekit.compress.prune.absorbing.places import NoPlace, new_parameter, write
from edgekit.compress.prune.analysis import Analysis
from edgekit.compress.prune.removal import Gone
from edgekit.ir import Graph, Node, Value, ops

RECURRENT = (ops.Lstm, ops.Gru, ops.Rnn)


def reads_removed(analysis: Analysis, gone: Gone, node: Node) -> bool:
    """A recurrent layer whose input or whose hidden units lose some."""
    if not isinstance(node.op, RECURRENT):
        return False
    places = ((node.input(0), 2), (node.outputs[1], 2))
    return any(bool(gone[analysis.coupling.axis(value, axis)].any()) for value, axis in places)


def absorb_recurrent(
    analysis: Analysis, gone: Gone, small: Graph, old: Node, new: Node, means: HiddenMeans, *, may_grow: bool
) -> str:
    """Adds ``w_ih`` of the removed inputs times their mean to ``b_ih``, and ``w_hh`` of the removed units to ``b_hh``.

    ``b_ih`` is not ``b_hh`` in a GRU, whose reset gate multiplies the recurrent part alone (Cho et al. 2014, in torch's
    form). An input that is constant is absorbed exactly; so is a unit that has one value from its initial state on.

    Args:
        analysis: of the graph before.
        gone: what was removed.
        small: the graph after; changed in place.
        old: the layer before.
        new: the layer after.
        means: of the layer before.
        may_grow: a layer without biases gets them.

    Returns:
        What took it.

    Raises:
        NoPlace: with the reason.
    """
    op = old.op
    assert isinstance(op, ops.Lstm | ops.Gru | ops.Rnn)
    first = 1 + op.STATES
    if any(value is not None and not value.is_constant for value in old.inputs[first:]):
        raise NoPlace("its weights are computed")
    took = "bias"
    if not op.bias:
        if not may_grow:
            raise NoPlace("it has no biases, and the budget counts what new ones cost")
        _give_biases(small, new)
        took = "new bias"
    biases = [value for value in new.inputs[first:] if value is not None and value.type.rank == 1]
    if any(not bias.is_constant or small.readers(bias) > 1 for bias in biases):
        raise NoPlace("its biases are shared with another layer")
    hidden = torch.from_numpy(gone[analysis.coupling.axis(old.outputs[1], 2)]).double()
    inputs = torch.from_numpy(gone[analysis.coupling.axis(old.input(0), 2)]).double()
    matrices = [value for value in old.inputs[first:] if value is not None and value.type.rank == 2]
    for index, (w_ih, w_hh) in enumerate(zip(matrices[::2], matrices[1::2], strict=True)):
        layer = index // op.directions
        lost = inputs if layer == 0 else hidden.repeat(op.directions)
        _add(biases[2 * index], analysis, gone, w_ih, means.inputs[layer] * lost)
        _add(biases[2 * index + 1], analysis, gone, w_hh, means.states[index] * hidden)
    return took


def _add(bias: Value, analysis: Analysis, gone: Gone, weight: Value, channels: torch.Tensor) -> None:
    delta = weight.tensor.detach().cpu().double() @ channels
    kept = torch.from_numpy(~gone[analysis.coupling.axis(weight, 0)])
    write(bias, bias.tensor + delta[kept].to(bias.tensor))


def _give_biases(graph: Graph, new: Node) -> None:
    """Zeros for both biases of every layer and direction: ``bias_ih_l0`` beside ``weight_ih_l0``."""
    op = new.op
    assert isinstance(op, ops.Lstm | ops.Gru | ops.Rnn)
    first = 1 + op.STATES
    inputs: list[Value | None] = list(new.inputs[:first])
    for place in range(first, len(new.inputs), 2):
        pair, added = [new.input(place), new.input(place + 1)], []
        for weight in pair:
            name = next((name for name, value in graph.state.items() if value is weight), "weight")
            leaf = name.rpartition(".")[2].replace("weight", "bias", 1)
            added.append(new_parameter(graph, weight, torch.zeros(weight.tensor_shape[0]), leaf))
        inputs += [*pair, *added]
        for value in added:
            value.users.append(new)
    new.inputs, new.op = tuple(inputs), op.with_(bias=True)
