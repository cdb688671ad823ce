"""What the source does only in training, found by a second trace in train mode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import fx
from torch._ops import OpOverload


@dataclass
class TrainingTrace:
    """The nodes of the inference trace beside those of the training trace.

    Attributes:
        twins: node of the inference trace -> the same node in training.
        only_in_training: nodes that only the training trace has.
    """

    twins: dict[fx.Node, fx.Node] = field(default_factory=dict)
    only_in_training: list[fx.Node] = field(default_factory=list)

    def argument(self, node: fx.Node, name: str, otherwise: Any) -> Any:
        """What an argument (by its schema's name) of a node is in training."""
        twin = self.twins.get(node)
        if twin is None or not isinstance(twin.target, OpOverload):
            return otherwise
        for position, argument in enumerate(twin.target._schema.arguments):
            if argument.name == name:
                if position < len(twin.args):
                    return twin.args[position]
                return twin.kwargs.get(name, argument.default_value if argument.has_default_value() else otherwise)
        return otherwise
