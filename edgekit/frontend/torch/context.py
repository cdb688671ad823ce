"""What a lowering works with: the graph it adds to, the node it lowers, and small helpers that many lowerings share."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from edgekit.frontend.lowering import GraphLowering, Number, axes_of, axis_of
from edgekit.frontend.torch.dims import Sizes
from edgekit.frontend.torch.places import where
from edgekit.frontend.torch.table import op_name
from edgekit.frontend.torch.training import TrainingTrace
from edgekit.ir import Graph, TensorType, Value, Where

__all__ = ["Building", "Lowering", "Number", "axes_of", "axis_of"]


@dataclass
class Building:
    """What the lowerings of one program share.

    Attributes:
        graph: what is being built.
        sizes: traced sizes to dimensions.
        device: where constants are made.
        modules: the source's modules by path; empty for a program that comes from a file.
        training: what nodes do in training; None where nothing but torch's own layers acts there.
        state: ids of the values that are parameters or buffers.
    """

    graph: Graph
    sizes: Sizes
    device: torch.device
    modules: Mapping[str, nn.Module]
    training: TrainingTrace | None = None
    state: set[int] = field(default_factory=set)


class Lowering(GraphLowering):
    """The context of one node of the traced program.

    Attributes:
        graph: what is being built.
        node: the traced node.
        source: the node of the source that it is, or is a part of.
        sizes: traced sizes to dimensions.
        where: the node's place in the user's model, given to everything that is added.
        path: dotted path of the module whose forward made the node.
        device: where constants are made.
    """

    def __init__(self, building: Building, node: fx.Node, at: fx.Node | None = None) -> None:
        """``at``: the node of the source that this one is a part of, where torch has taken that apart."""
        self.building = building
        self.graph, self.sizes, self.device = building.graph, building.sizes, building.device
        self.node = node
        self.source = at or node
        self.where = where(self.source)
        self.path = self.where.module

    # ------------------------------------------------------------------ reading

    @property
    def op_name(self) -> str:
        """The ATen overload."""
        return op_name(self.node.target)

    def is_known(self, x: Value) -> bool:
        """A constant that is not state: its value is part of the graph."""
        return x.is_constant and id(x) not in self.building.state

    def reads(self, index: int) -> bool:
        """Somebody reads this result of the node."""
        return any(user.target is not operator.getitem or user.args[1] == index for user in self.node.users)

    @property
    def result(self) -> TensorType:
        """The traced type of the (first) result."""
        value = self.node.meta["val"]
        return self.sizes.type(value[0] if isinstance(value, tuple | list) else value)

    @property
    def module(self) -> nn.Module | None:
        """The source module whose forward made the node, where the source is one."""
        return self.building.modules.get(self.path)

    def is_layer(self, kind: type[nn.Module]) -> bool:
        """Whether that module is a layer of this kind (in a program from a file: as far as its class's name tells)."""
        if self.building.modules:
            return isinstance(self.module, kind)
        calls = list(self.source.meta.get("nn_module_stack", {}).values())
        return bool(calls) and str(calls[-1][1]).startswith(f"{kind.__module__}.")

    def training_argument(self, name: str, otherwise: Any) -> Any:
        """The value that an argument of this node (by its schema's name) has in training; ``otherwise`` where unknown."""
        trace = self.building.training
        return otherwise if trace is None else trace.argument(self.node, name, otherwise)

    def note(self, text: str) -> None:
        """Tells the user something about this place; said once."""
        place = str(self.where)
        line = text if place == str(Where()) else f"{place}: {text}"
        if line not in self.graph.notes:
            self.graph.notes.append(line)

    def traced(self, *arguments: Any) -> list[Any]:
        """The traced values (fake tensors) of the node's own arguments, by position."""
        return [a.meta["val"] if isinstance(a, fx.Node) else a for a in (self.node.args[i] for i in arguments)]
