"""Heads that begin with copies of the network's own later layers."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.compress.early_exit.places import nodes_of
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, Node, Value
from edgekit.ir.types import where_text
from edgekit.tables import did_you_mean


def copied(to: Graph, value: Value, source: Graph, modules: tuple[str, ...], name: str) -> Value:
    """What copies of modules compute of a value, one after the other; the value itself without modules.

    Args:
        to: the graph that gets the copies.
        value: in it, what the first copy takes.
        source: the network; may be the same graph.
        modules: paths in the source.
        name: before the names of the copies' parameters.

    Raises:
        UsageError: no module of such a name.
        Unsupported: one that takes several values, or takes or makes another shape than is there.
    """
    names = {id(held): path for path, held in source.state.items()}
    for module in modules:
        nodes = nodes_of(source, module)
        if not nodes:
            known = {place.module for node in source.nodes for place in node.where if place.module}
            raise UsageError(f"no module is called '{module}'", where="head: copy", hint=did_you_mean(module, known))
        taken = _taken(nodes, module)
        if taken.type.shape[1:] != value.type.shape[1:]:
            raise Unsupported(
                f"'{module}' takes {taken.type}, and at this place there is {value.type}",
                where=where_text(nodes[0].where),
                hint="modules that fit one behind the other, the first to the value of the exit",
            )
        here: dict[int, Value] = {id(taken): value}
        for node in nodes:
            inputs = [None if v is None else here.get(id(v)) or _constant(to, v, names, name) for v in node.inputs]
            here.update(
                {id(v): made for v, made in zip(node.inputs, inputs, strict=True) if v is not None and made is not None}
            )
            made = to.add_node(node.op, inputs, name=f"{name}.{node.op.name}")
            here.update({id(old): new for old, new in zip(node.outputs, made.outputs, strict=True)})
        value = here[id(nodes[-1].output)]
    return value


def _taken(nodes: list[Node], module: str) -> Value:
    """The one value that a module reads."""
    made = {id(value) for node in nodes for value in node.outputs}
    read = {id(v): v for n in nodes for v in n.inputs if v is not None and not v.is_constant and id(v) not in made}
    if len(read) != 1:
        raise Unsupported(
            f"'{module}' takes {len(read)} values, and a copy in a head has one",
            where=where_text(nodes[0].where),
            hint="a block with one input",
        )
    return next(iter(read.values()))


def _constant(to: Graph, value: Value, names: dict[int, str], name: str) -> Value:
    """A constant of its own: a parameter or buffer under the copy's name, or a number of the graph's."""
    if not value.is_constant:
        raise AssertionError(f"%{value.name} is no constant")
    data: torch.Tensor = value.tensor.detach().clone()
    if id(value) not in names:
        return to.constant(data, f"{name}.{value.name}")
    path = f"{name}.{names[id(value)]}"
    return to.add_state(path, nn.Parameter(data) if value.is_trainable else data)
