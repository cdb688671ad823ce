"""Which layers cause the error of a quantised graph: the float graph is run with one layer alone quantised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from edgekit.ir import Graph, Node, Value, ops
from edgekit.ir.fake_quant import fake_quantize
from edgekit.ir.module import batch_size_of
from edgekit.ir.ops.base import as_tuple
from edgekit.layer_errors import energy
from edgekit.metrics import decibels

#: Layers whose third input is a bias.
_BIASED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)
_BIAS = 2

#: Ops that change the form of a value and not the value: the borders between integers and floats.
_Border = ops.Identity


def alone_errors(
    reference: Graph, other: Graph, inputs: Sequence[torch.Tensor], outputs: Sequence[str], *, effort: int
) -> dict[str, float]:
    """What each layer's quantisation alone does to the model's outputs.

    For each op of ``other`` that carries ``quant`` on its outputs or its constants: that op is taken from ``other``, all
    before and behind it from the float graph. A bias that was corrected for what the quantised network feeds its layer is
    wrong for what the float network does: it is corrected anew.

    Args:
        reference: the float graph.
        other: the same, quantised; ops correspond by the names of their values.
        inputs: one batch, as both graphs take it.
        outputs: names of the values of ``reference`` whose error is meant (say, those before a final softmax).
        effort: multiply-accumulates that may be spent, roughly. Where more are needed, nothing is measured.

    Returns:
        SQNR in dB over the elements of all these outputs, by the name of the op's first value; ops that do not lead to them
        are left out.
    """
    place = {value.name: index for index, node in enumerate(reference.nodes) for value in node.outputs}
    useful, behind = _behind(reference, set(outputs))
    batch = batch_size_of(reference, inputs)
    costs = [_cost(node) * batch for node in reference.nodes]
    known = {value.name for value in reference.inputs} | set(place)
    names = {id(value): _name(value, known) for value in other.values()}
    nodes = []
    for node in other.nodes:
        index = place.get(names[id(node.output)] or "")
        if index is not None and useful[index] and _carries_quant(node) and not isinstance(node.op, _Border):
            nodes.append((node, index))
    if sum(costs[index] + sum(costs[i] for i in behind[index]) for _, index in nodes) > effort:
        return {}
    own = {id(value): value.name for value in reference.values()}
    found = {}
    with torch.no_grad():
        seen = _seen(reference, inputs)
        signal = sum(energy(seen[name]) for name in outputs)
        for node, index in nodes:
            if any(v is not None and not v.is_constant and not names[id(v)] for v in node.inputs):
                continue  # it follows an op that the float graph does not have
            changed = _results(node, names, seen, {}, batch, twin=reference.nodes[index])
            if any(name not in seen or tensor.shape != seen[name].shape for name, tensor in changed.items()):
                continue
            for later in behind[index]:
                changed |= _results(reference.nodes[later], own, seen, changed, batch)
            noise = sum(energy(seen[name] - changed[name]) for name in outputs if name in changed)
            found[node.output.name] = decibels(signal, noise)
    return found


def alone_graphs(reference: Graph, other: Graph, inputs: Sequence[torch.Tensor]) -> Iterator[tuple[Node, Graph]]:
    """For each op of ``other`` that carries ``quant``: it, and the float graph with this op alone taken from ``other``.

    Corrected biases are corrected anew; see ``alone_errors``.

    Args:
        reference: the float graph.
        other: the same, quantised; ops correspond by the names of their values. Ops that the float graph does not have, or
            that read what it does not have, are left out.
        inputs: one batch, which biases are corrected on.
    """
    seen = _seen(reference, inputs)
    known = {value.name for value in reference.inputs} | {v.name for node in reference.nodes for v in node.outputs}
    names = {id(value): _name(value, known) for value in other.values()}
    place = {node.output.name: index for index, node in enumerate(reference.nodes)}
    for node in other.nodes:
        index = place.get(names[id(node.output)])
        if index is None or isinstance(node.op, _Border) or not _carries_quant(node):
            continue
        if any(v is not None and not v.is_constant and not names[id(v)] for v in node.inputs):
            continue
        changed = reference.copy()
        twin = changed.nodes[index]
        bias = _bias_alone(node, twin, seen)
        for at, value in enumerate(node.inputs):
            if value is None or not value.is_constant:
                continue
            data = value.tensor if at != _BIAS or bias is None else bias
            constant = changed.constant(data.detach(), value.name)
            constant.quant = value.quant
            if at < len(twin.inputs):
                changed.set_input(twin, at, constant)
            else:
                changed.extend_input(twin, constant)
        for mine, theirs in zip(twin.outputs, node.outputs, strict=True):
            mine.quant = theirs.quant
        yield node, changed


def _seen(graph: Graph, inputs: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """What every value is on one batch, by name."""
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        graph.module().eval().run(list(inputs), observe=lambda value, tensor: seen.update({value.name: tensor}))
    return seen


def _bias_alone(node: Node, twin: Node, seen: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """The bias of a quantised layer, corrected for the rounding of its own weight alone; None where it is not corrected.

    ``twin``: the float graph's layer, which read and gave what is in ``seen``.
    """
    if not isinstance(node.op, _BIASED) or node.op != twin.op or node.optional(_BIAS) is None:
        return None
    bias, own, x, weight = node.input(_BIAS), twin.optional(_BIAS), seen.get(twin.input(0).name), node.input(1)
    constants = [v for v in (bias, own, weight, twin.input(1)) if v is not None]
    if x is None or weight.quant is None or not all(v.is_constant for v in constants):
        return None
    start = torch.zeros_like(bias.tensor) if own is None else own.tensor
    if start.shape != bias.tensor.shape or torch.equal(start, bias.tensor):
        return None
    op = node.op.with_(activation="none").at(len(x))
    with torch.no_grad():
        lost = torch.as_tensor(op.run(x, twin.input(1).tensor, None, training=False))
        lost = lost - torch.as_tensor(op.run(x, fake_quantize(weight.tensor, weight.quant), None, training=False))
    axis = lost.dim() - 1 if isinstance(node.op, ops.Linear) else 1
    return start.detach() + lost.mean([d for d in range(lost.dim()) if d != axis])


def _carries_quant(node: Node) -> bool:
    return any(v.quant is not None for v in node.outputs) or any(
        v is not None and v.is_constant and v.quant is not None for v in node.inputs
    )


def _behind(graph: Graph, outputs: set[str]) -> tuple[list[bool], list[list[int]]]:
    """Whether each node leads to one of these outputs, and the later nodes on its ways there, in order."""
    place = {id(node): index for index, node in enumerate(graph.nodes)}
    useful = [any(value.name in outputs for value in node.outputs) for node in graph.nodes]
    behind: list[set[int]] = [set() for _ in graph.nodes]
    for index in reversed(range(len(graph.nodes))):
        for user in {place[id(user)] for value in graph.nodes[index].outputs for user in value.users}:
            if useful[user]:
                useful[index] = True
                behind[index] |= {user, *behind[user]}
    return useful, [sorted(nodes) for nodes in behind]


def _cost(node: Node) -> int:
    """What running an op costs, in multiply-accumulates: its own, its values, and the call."""
    return node.op.macs(node) + 8 * sum(v.type.numel() for v in node.outputs) + 20_000


def _name(value: Value, known: set[str]) -> str:
    """What the float graph calls a value, looked for across borders, which it does not have; "" where it has no such value."""
    if value.name in known:
        return value.name
    if value.producer is not None and isinstance(value.producer.op, _Border):
        return _name(value.producer.input(0), known)
    over = [node.output.name for node in value.users if isinstance(node.op, _Border) and node.output.name in known]
    return over[0] if over else ""


def _results(
    node: Node,
    names: Mapping[int, str],
    seen: Mapping[str, torch.Tensor],
    changed: Mapping[str, torch.Tensor],
    batch: int,
    *,
    twin: Node | None = None,
) -> dict[str, torch.Tensor]:
    """One op on values that were computed before; with fake quantisation where it carries ``quant``.

    ``names``: those of the values in ``seen`` and ``changed``, by the identities of the node's own. ``twin``: the float
    graph's node, where this is the quantised one.
    """
    bias = None if twin is None else _bias_alone(node, twin, seen)

    def tensor(at: int, value: Value | None) -> torch.Tensor | None:
        if value is None:
            return None
        if value.is_constant:
            data = value.tensor if at != _BIAS or bias is None else bias
            return data if value.quant is None else fake_quantize(data, value.quant)
        name = names[id(value)]
        return changed[name] if name in changed else seen[name]

    inputs = [tensor(at, value) for at, value in enumerate(node.inputs)]
    results = as_tuple(node.op.at(batch).run(*inputs, training=False))
    return {
        names[id(value)]: result if value.quant is None else fake_quantize(result, value.quant)
        for value, result in zip(node.outputs, results, strict=True)
    }
