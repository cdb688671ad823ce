"""What a recurrent layer keeps to itself: the means of each layer's input and of the state that each step starts from."""

from __future__ import annotations

import torch

from edgekit.ir import Node, Value, ops


class HiddenMeans:
    """Means over samples and steps, by layer and direction; gathered while a graph runs."""

    def __init__(self, node: Node) -> None:
        """Of one ``Lstm``, ``Gru`` or ``Rnn``."""
        assert isinstance(node.op, ops.Lstm | ops.Gru | ops.Rnn)
        self._node, self._op = node, node.op
        self._held: dict[int, torch.Tensor] = {}
        self._read = {id(value) for value in node.inputs if value is not None and not value.is_constant}
        self._steps = 0
        self._totals: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []

    def observe(self, value: Value, tensor: torch.Tensor) -> None:
        """Is told every value of a run."""
        if id(value) in self._read:
            self._held[id(value)] = tensor
        if value is self._node.outputs[0]:
            found, before = self._sums(), self._totals
            self._totals = found if not self._steps else (_added(found[0], before[0]), _added(found[1], before[1]))
            self._steps += tensor.shape[0] * tensor.shape[1]
            self._held.clear()

    @property
    def inputs(self) -> list[torch.Tensor]:
        """For each layer, of what it reads: (I,) for the first, (directions * H,) for the others."""
        return [total / self._steps for total in self._totals[0]]

    @property
    def states(self) -> list[torch.Tensor]:
        """For each layer and direction, of the hidden state before each step: (H,)."""
        return [total / self._steps for total in self._totals[1]]

    def _sums(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Runs the layers one by one; sums over samples and steps."""
        op, node = self._op, self._node
        time = 1 if op.batch_first else 0
        x = self._tensor(node.input(0))
        given = [None if value is None else self._tensor(value) for value in node.inputs[1 : 1 + op.STATES]]
        states = op.states(x, tuple(given))
        one, per = op.with_(layers=1, dropout=0.0), (4 if op.bias else 2) * op.directions
        weights = [self._tensor(value) for value in node.inputs[1 + op.STATES :] if value is not None]
        inputs, before = [], []
        for layer in range(op.layers):
            inputs.append(x.double().sum((0, 1)).cpu())
            place = slice(layer * op.directions, (layer + 1) * op.directions)
            start = [state[place].contiguous() for state in states]
            x = one.run(x, *start, *weights[layer * per : (layer + 1) * per])[0]
            for direction, h in enumerate(x.reshape(*x.shape[:2], op.directions, op.hidden).unbind(2)):
                kept = h.narrow(time, 1 if direction else 0, h.shape[time] - 1)  # the last step's state is read by none
                before.append((kept.double().sum((0, 1)) + start[0][direction].double().sum(0)).cpu())
        return inputs, before

    def _tensor(self, value: Value) -> torch.Tensor:
        return value.tensor.detach() if value.is_constant else self._held[id(value)]


def _added(some: list[torch.Tensor], others: list[torch.Tensor]) -> list[torch.Tensor]:
    return [a + b for a, b in zip(some, others, strict=True)]
