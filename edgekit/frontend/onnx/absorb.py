"""Pairs of QuantizeLinear and DequantizeLinear become the quantisation of values.

In a file, an operator is computed in integers where such pairs stand at all its ends. In the graph, the values at these ends
carry ``quant``; an ``identity`` stands where integers and real numbers meet.
"""

from __future__ import annotations

from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.passes import run_passes
from edgekit.passes.fuse_activation import FuseActivation

#: Layers whose weights must be integers as well.
_WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)
#: Ops that integers pass through as they are.
_MOVING = (
    ops.Reshape, ops.Permute, ops.Slice, ops.Split, ops.Gather, ops.Expand, ops.Tile, ops.Flip, ops.Roll, ops.PixelShuffle,
    ops.PixelUnshuffle, ops.MaxPool1d, ops.MaxPool2d, ops.Amax, ops.Relu, ops.Relu6, ops.Clamp,
)  # fmt: skip
#: What edgekit's own files call the real numbers before a pair.
_BEFORE = "/real"
#: Ops that all integer targets have with these scales (1/256 from -128, 1/128 around 0) at their end.
_FIXED: dict[type[ops.Op], tuple[float, int]] = {
    ops.Softmax: (1 / 256, -128),
    ops.Sigmoid: (1 / 256, -128),
    ops.Tanh: (1 / 128, 0),
}
#: Ops that all integer targets have with scales of their own at every end.
_COMPUTING = (*_WEIGHTED, ops.Add, ops.Mul, ops.Mean, ops.AvgPool1d, ops.AvgPool2d, ops.Matmul)


def absorb(graph: Graph) -> Graph:
    """A graph whose values carry the file's scales; the graph itself where the file has none. Activations between a layer and
    its scales are fused into the layer.
    """
    if not any(_is_pair(node) for node in graph.nodes):
        return graph
    graph, _ = run_passes(graph, (FuseActivation(),))
    for node in list(graph.nodes):
        if _is_pair(node):
            _merge(graph, node)
    for node in list(graph.nodes):
        if not isinstance(node.op, ops.Identity):
            _complete(node)
            _settle(graph, node)
    graph.sort()
    return graph


def _is_pair(node: Node) -> bool:
    return isinstance(node.op, ops.Identity) and node.output.quant is not None


def _merge(graph: Graph, node: Node) -> None:
    """The scales of a pair become those of what it reads, if nothing else reads that in float."""
    x, pair = node.input(0), node.output
    if x.is_constant or (x.quant is not None and x.quant != pair.quant):
        return
    others = [other for other in x.users if other is not node]
    twins = [other for other in others if _is_pair(other) and other.output.quant == pair.quant]
    if x.quant is None and (len(twins) < len(others) or graph.is_output(x)):
        return
    x.quant = pair.quant
    name, kept = x.name, graph.is_output(pair)
    for each in [node, *twins]:
        old = each.output
        if old is not pair and graph.is_output(old):
            continue
        graph.replace(old, x)
        graph.remove(each)
    if not kept and x.name != name:
        x.name = name
    plain = x.name.removesuffix(_BEFORE)
    if x.producer is not None and plain != x.name:
        x.name = graph.unique_name(plain)


def _complete(node: Node) -> None:
    """Gives a float bias of an integer layer the scale of its sums."""
    if not isinstance(node.op, _WEIGHTED) or len(node.inputs) < 3:
        return
    x, weight, bias = node.input(0), node.input(1), node.optional(2)
    if bias is None or not bias.is_constant or bias.quant is not None or x.quant is None or weight.quant is None:
        return
    scales = tuple(x.quant.scale[0] * scale for scale in weight.quant.scale)
    bias.quant = QuantParams("int32", scales, (0,) * len(scales), 0 if weight.quant.per_channel else None)


def _settle(graph: Graph, node: Node) -> None:
    """Puts a border around a node that is not computed in integers, and one behind a move to another scale."""
    given = list(dict.fromkeys(v for v in node.inputs if v is not None and not v.is_constant and v.type.is_float))
    made = [v for v in node.outputs if v.type.is_float]
    if not any(v.quant is not None for v in (*given, *made)):
        return
    if _is_integer(node, given, made):
        first = given[0].quant
        if isinstance(node.op, _MOVING):
            for value in made:
                if value.quant != first:
                    _behind(graph, node, value, first)
        return
    for value in given:
        if value.quant is not None:
            real = _real(graph, value, node)
            for index, each in enumerate(node.inputs):
                if each is value:
                    graph.set_input(node, index, real)
    for value in made:
        if value.quant is not None:
            _behind(graph, node, value, None)


def _is_integer(node: Node, given: list[Value], made: list[Value]) -> bool:
    if not given or any(v.quant is None for v in (*given, *made)):
        return False
    if type(node.op) in _FIXED:
        scale, zero = _FIXED[type(node.op)]
        return made[0].quant == QuantParams("int8", (scale,), (zero,)) and given[0].quant is not None
    if not isinstance(node.op, (*_MOVING, *_COMPUTING)):
        return False
    constants = [v for v in node.inputs if v is not None and v.is_constant and v.type.is_float]
    kinds = {v.quant.dtype for v in (*given, *made) if v.quant is not None}
    return kinds in ({"int8"}, {"int16"}) and all(v.quant is not None for v in constants)


def _real(graph: Graph, value: Value, reader: Node) -> Value:
    """The real numbers of a quantised value, once for all that read them."""
    for user in value.users:
        if isinstance(user.op, ops.Identity) and user.output.quant is None and user.input(0) is value:
            if graph.nodes.index(user) > graph.nodes.index(reader):
                graph.nodes.remove(user)
                graph.nodes.insert(graph.nodes.index(reader), user)
            return user.output
    return graph.add(ops.Identity(), value, name=f"{value.name}/real", where=reader.where, before=reader, types=[value.type])


def _behind(graph: Graph, node: Node, value: Value, inner: QuantParams | None) -> None:
    """An identity behind a node's result, which carries the result's name, readers and scales from now on."""
    outer = value.quant
    place = graph.nodes.index(node) + 1
    before = graph.nodes[place] if place < len(graph.nodes) else None
    users = list(value.users)
    made = graph.add(ops.Identity(), value, name=f"{value.name}/before", where=node.where, before=before, types=[value.type])
    for user in users:
        for index, each in enumerate(user.inputs):
            if each is value:
                graph.set_input(user, index, made)
    graph.outputs = [made if v is value else v for v in graph.outputs]
    value.quant, made.quant = inner, outer
    value.name, made.name = made.name, value.name
