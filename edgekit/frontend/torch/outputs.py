"""What a traced node has become: its types are checked, and the outputs of modules get the modules' names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from edgekit.frontend.torch.dims import Sizes
from edgekit.frontend.torch.places import call_of, where
from edgekit.frontend.torch.table import op_name
from edgekit.ir import Graph, Value


def check_types(node: fx.Node, value: Any, sizes: Sizes) -> None:
    """What a lowering made must have the type that the tracer saw.

    Raises:
        RuntimeError: it has another: an error in edgekit.
    """
    traced = node.meta.get("val")
    several = isinstance(value, tuple) and isinstance(traced, tuple | list)
    pairs: Iterable[tuple[Any, Any]] = zip(value, traced, strict=False) if several and traced is not None else [(value, traced)]
    for made, seen in pairs:
        if isinstance(made, Value) and isinstance(seen, torch.Tensor):
            wanted = sizes.type(seen)
            if made.type != wanted:
                raise RuntimeError(f"the lowering of {op_name(node.target)} made {made.type}, torch {wanted} ({where(node)})")


def name_output(graph: Graph, value: Any, path: str, count: int) -> None:
    """Calls a value by the path of the module whose output it is.

    Args:
        graph: the graph.
        value: the output; anything but the result of a node is left alone.
        path: the module's dotted path.
        count: how many nodes the graph had before the value was made.
    """
    if not path or not isinstance(value, Value) or value.producer is None:
        return
    is_new = any(value.producer is made for made in graph.nodes[count:])
    if is_new or value.name.startswith(f"{path}."):
        graph._names.discard(value.name)
        value.name = graph.unique_name(path)


def is_number(node: fx.Node) -> bool:
    """A size or another number, not a tensor."""
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool | int | float)


def ends_of_calls(nodes: list[fx.Node]) -> set[fx.Node]:
    """For each call of a module, the node that gives its output: the last that is read, and by nobody inside the call."""
    last: dict[str, fx.Node] = {}
    for node in nodes:
        call = call_of(node)
        if node.op != "call_function" or not call or not node.users or is_number(node):
            continue
        if not any(call in user.meta.get("nn_module_stack", {}) for user in node.users):
            last[call] = node
    return set(last.values())
