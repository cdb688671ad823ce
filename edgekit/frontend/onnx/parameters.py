"""Initialisers become the graph's state: what training may change is an ``nn.Parameter``, under the file's own name."""

from __future__ import annotations

from torch import nn

from edgekit.frontend.onnx.context import Building
from edgekit.ir import Graph, Node, Value, ops

#: Inputs that follow the data and are not trained.
_STATISTICS: dict[type[ops.Op], tuple[int, ...]] = {ops.BatchNorm: (3, 4)}
#: Ops whose constant operands are weights wherever the file keeps them.
_LAYERS = (
    ops.Conv1d, ops.Conv2d, ops.ConvTranspose1d, ops.ConvTranspose2d, ops.Linear, ops.BatchNorm, ops.LayerNorm, ops.RmsNorm,
    ops.GroupNorm, ops.InstanceNorm, ops.Prelu, ops.Lstm, ops.Gru, ops.Rnn,
)  # fmt: skip


#: What edgekit's own files add to the name of a matrix that ONNX wants the other way round. Loading turns it back.
_TRANSPOSED = "/transposed"


def make_state(building: Building) -> None:
    """Puts every weight that the graph reads into its state.

    Weights are float initialisers of more than one element, and the constants of layers. Running statistics become buffers.
    What was computed of one initialiser (a transposed matrix) takes its name, unless that is read as well.
    """
    graph = building.graph
    read = {id(value): value for node in graph.nodes for value in node.inputs if value is not None and value.is_constant}
    names = {value.name for value in read.values()}
    statistics, weights = _roles(graph.nodes)
    for key, value in read.items():
        if not value.type.is_float or (key not in weights | statistics and not _is_initialiser(value, building)):
            continue
        origin = building.weights.get(key, value.name).removesuffix(_TRANSPOSED)
        if origin != value.name and origin not in names:
            names.add(origin)
            value.name = origin
        name = _state_name(value.name, graph)
        if key in statistics and key not in weights:
            value.data = value.tensor.clone()
        else:
            value.data = nn.Parameter(value.tensor.clone())
        if name != value.name:
            value.name = graph.unique_name(name)
        graph.add_state(name, value)


def _roles(nodes: list[Node]) -> tuple[set[int], set[int]]:
    """Ids of running statistics, and of operands of layers."""
    statistics: set[int] = set()
    weights: set[int] = set()
    for node in nodes:
        kept = _STATISTICS.get(type(node.op), ())
        for index, value in enumerate(node.inputs):
            if value is not None and value.is_constant:
                if index in kept:
                    statistics.add(id(value))
                elif index and isinstance(node.op, _LAYERS):
                    weights.add(id(value))
    return statistics, weights


def _is_initialiser(value: Value, building: Building) -> bool:
    return id(value) in building.weights and value.tensor.numel() > 1


def _state_name(name: str, graph: Graph) -> str:
    """The name as a path of attributes of a module: no empty part, none that a module has, none inside another's."""
    parts = [part or "_" for part in name.split(".")]
    parts = [f"{part}_" if hasattr(nn.Module, part) or part in _OWN else part for part in parts]
    wish, flat, count = ".".join(parts), "_".join(parts), 0
    while _collides(wish, graph):
        wish = flat if not count else f"{flat}_{count}"
        count += 1
    return wish


#: Attributes that modules of graphs set on themselves.
_OWN = frozenset({"training", "graph", "run", "edgekit_constants", "_graph", "_slots", "_loads", "_steps", "_place"})


def _collides(name: str, graph: Graph) -> bool:
    return any(name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.") for other in graph.state)
