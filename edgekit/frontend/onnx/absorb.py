"""Pairs of QuantizeLinear and DequantizeLinear become the quantisation of values.

In a file, an operator is computed in integers where such pairs stand at all its ends. In the graph, the values at these ends
carry ``quant``; an ``identity`` stands where integers and real numbers meet.
"""

from __future__ import annotations

from edgekit.frontend.around_zero import choose_anew, match_bias
from edgekit.ir import Graph, Node, QuantParams, Value, ops
from edgekit.ir.integer.expressible import averages_in_integers, resizes_by_ratio
from edgekit.passes import run_passes
from edgekit.passes.fuse_activation import FuseActivation

#: Layers whose weights must be integers as well.
_WEIGHTED = (ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear)
#: Ops whose results have the scale of what they read.
_KEEPING = (
    ops.Reshape, ops.Permute, ops.Slice, ops.Split, ops.Gather, ops.Expand, ops.Tile, ops.Flip, ops.Roll, ops.PixelShuffle,
    ops.PixelUnshuffle, ops.MaxPool1d, ops.MaxPool2d, ops.AvgPool1d, ops.AvgPool2d, ops.Amax, ops.Relu, ops.Relu6, ops.Clamp,
    ops.Resize,
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
_COMPUTING = (*_WEIGHTED, ops.Add, ops.Mul, ops.Mean, ops.Matmul, ops.LeakyRelu)


def absorb(graph: Graph) -> Graph:
    """A graph whose values carry the file's scales; the graph itself where the file has none. Activations between a layer and
    its scales are fused into the layer.
    """
    if not any(_is_pair(node) for node in graph.nodes):
        _put_around_zero(graph)
        return graph
    graph, _ = run_passes(graph, (FuseActivation(),))
    for node in list(graph.nodes):
        if _is_pair(node):
            _merge(graph, node)
    for node in list(graph.nodes):
        if not isinstance(node.op, ops.Identity):
            _complete(node)
            _settle(graph, node)
    _put_around_zero(graph)
    graph.sort()
    return graph


def _put_around_zero(graph: Graph) -> None:
    """No kernel takes weights around another number than zero: beside integers they are rounded anew, beside floats they are
    floats.
    """
    for node in graph.nodes:
        weight = node.input(1) if isinstance(node.op, _WEIGHTED) else None
        if weight is None or weight.quant is None or not any(weight.quant.zero_point):
            continue
        if node.input(0).quant is None:
            weight.quant = None
            continue
        plain = isinstance(node.op, ops.Conv1d | ops.Conv2d)
        choose_anew(graph, weight, 0 if plain else None)
        match_bias(node.input(0), weight, node.optional(2))


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
        if isinstance(node.op, ops.Concat):
            _under_one_scale(graph, node, made[0].quant)
        kept = given[0].quant if isinstance(node.op, _KEEPING) else _fixed(node)
        for value in made:
            if kept is not None and value.quant != kept:
                _behind(graph, node, value, kept)
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
    if not given or any(v.quant is None for v in (*given, *made)) or not _is_expressible(node):
        return False
    constants = [v for v in node.inputs if v is not None and v.is_constant and v.type.is_float]
    kinds = {v.quant.dtype for v in (*given, *made) if v.quant is not None}
    if isinstance(node.op, tuple(_FIXED)):
        return kinds == {"int8"}
    if not isinstance(node.op, (*_KEEPING, *_COMPUTING, ops.Concat)):
        return False
    return kinds in ({"int8"}, {"int16"}) and all(v.quant is not None for v in constants)


def _is_expressible(node: Node) -> bool:
    """Integer kernels can be told this form of a pool or resize."""
    sizes, outs = node.input(0).shape[2:], node.output.shape[2:]
    if isinstance(node.op, ops.AvgPool1d | ops.AvgPool2d):
        return averages_in_integers(node.op, sizes, outs)
    return not isinstance(node.op, ops.Resize) or node.op.mode == "nearest" or resizes_by_ratio(node.op, sizes)


def _fixed(node: Node) -> QuantParams | None:
    """The scale that integer kernels of this op have at their end."""
    if type(node.op) not in _FIXED:
        return None
    scale, zero = _FIXED[type(node.op)]
    return QuantParams("int8", (scale,), (zero,))


def _under_one_scale(graph: Graph, node: Node, quant: QuantParams | None) -> None:
    """Brings what is joined to the scale of the result."""
    for index, value in enumerate(node.inputs):
        if value is not None and value.quant != quant and not value.is_constant:
            made = graph.add(
                ops.Identity(), value, name=f"{value.name}/rescaled", where=node.where, before=node, types=[value.type]
            )
            made.quant = quant
            graph.set_input(node, index, made)


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
