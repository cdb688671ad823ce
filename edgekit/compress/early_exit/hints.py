"""Hints: heads that learn what the network's last layer reads, not its answers alone (FitNets, Romero et al., arXiv:1412.6550).

Ten logits say little about a sample; the features that they are made of say more, and a head learns faster from them. Such
a head ends in as many features as the network does, and its linear layer starts as a copy of the network's last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.compress.early_exit.head import Head
from edgekit.errors import Unsupported
from edgekit.ir import Node, Value, ops


@dataclass(frozen=True)
class Hint:
    """Of one exit.

    Attributes:
        exit: its number.
        features: name of what its linear layer reads, (N, features).
        weight: of the term.
    """

    exit: int
    features: str
    weight: float

    def term(self, features: Tensor, wanted: Tensor) -> Tensor:
        """weight * mean((features - wanted)^2) / mean(wanted^2); no gradient flows into what is wanted."""
        wanted = wanted.detach().float()
        return self.weight * (features.float() - wanted).square().mean() / wanted.square().mean().clamp_min(1e-12)


def read_by_last_layer(end: Value) -> Value:
    """The features (N, features) that the network's logits are made of.

    Raises:
        Unsupported: the network ends in no linear layer.
    """
    return _last_layer(end).input(0)


def hinted(heads: Sequence[Head], logits: Sequence[Value], end: Value) -> tuple[Hint, ...]:
    """The hints of heads that want some, whose new linear layers become copies of the network's last one.

    Args:
        heads: of the exits.
        logits: what each gives.
        end: the network's own logits, in the same graph or another.

    Raises:
        Unsupported: the network ends in no linear layer, or a head in another number of features.
    """
    found = []
    for number, (head, answer) in enumerate(zip(heads, logits, strict=True)):
        if not head.hint:
            continue
        own, last = answer.producer, _last_layer(end)
        assert own is not None
        has, wanted = own.input(0).tensor_shape[1], last.input(0).tensor_shape[1]
        if has != wanted:
            raise Unsupported(
                f"a hint for a head with {has} features, where the network's last layer reads {wanted}",
                where=f"head: hint of exit {number}",
                hint=f"pool = 1, and layers that end in {wanted} channels: stages = [..., {wanted}]",
            )
        with torch.no_grad():
            for index in (1, 2):
                if (theirs := last.optional(index)) is not None:
                    own.input(index).tensor.copy_(theirs.tensor)
        found.append(Hint(number, own.input(0).name, head.hint))
    return tuple(found)


def _last_layer(end: Value) -> Node:
    node = end.producer
    if node is None or not isinstance(node.op, ops.Linear) or not node.input(1).is_constant:
        raise Unsupported(
            f"a hint from a network whose answer '{end.name}' comes of no linear layer", where="head: hint", hint="hint = 0"
        )
    return node
