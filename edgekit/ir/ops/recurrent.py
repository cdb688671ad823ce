"""Recurrent layers, each as one op over a whole sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from edgekit.ir.ops.base import Op
from edgekit.ir.types import TensorType

if TYPE_CHECKING:
    from edgekit.ir.graph import Node


@dataclass(frozen=True)
class _Recurrent(Op):
    """Inputs: x, the initial states (each optional: absent is zero), then per layer and direction w_ih, w_hh and, with
    ``bias``, b_ih, b_hh.

    x is (B, T, I) with ``batch_first``, else (T, B, I); states are (layers * directions, B, H). Outputs: y (x's order,
    directions * H wide), then the final states. ``dropout`` acts between layers in training.
    """

    hidden: int
    layers: int = 1
    bidirectional: bool = False
    batch_first: bool = True
    bias: bool = True
    dropout: float = 0.0
    acts_in_training = True

    #: Number of states (hidden; for LSTM also cell) and of gates stacked in the weights.
    STATES = 1
    GATES = 1

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def infer(self, *types: TensorType | None) -> tuple[TensorType, ...]:
        x = types[0]
        assert x is not None
        if x.rank != 3:
            raise ValueError(f"a sequence has three dimensions, not those of {x}")
        batch = x.shape[0] if self.batch_first else x.shape[1]
        y = TensorType(x.dtype, (*x.shape[:2], self.directions * self.hidden))
        state = TensorType(x.dtype, (self.layers * self.directions, batch, self.hidden))
        self._check(x, state, types)
        return (y, *[state] * self.STATES)

    def _check(self, x: TensorType, state: TensorType, types: Sequence[TensorType | None]) -> None:
        """Kernels read beyond the end of states and weights that are too small: torch's own layers check before, so this does.

        Raises:
            ValueError: states or weights do not fit.
        """
        first = 1 + self.STATES
        for given in types[1:first]:
            if given not in (None, state):
                raise ValueError(f"an initial state is {given}, not {state}")
        rows = self.GATES * self.hidden
        widths = (x.shape[2], *[self.directions * self.hidden] * (self.layers - 1))
        biases = ((rows,), (rows,)) if self.bias else ()
        wanted = [((rows, width), (rows, self.hidden), *biases) for width in widths for _ in range(self.directions)]
        flat = [TensorType(x.dtype, shape) for each in wanted for shape in each]
        if list(types[first:]) != flat:
            found = ", ".join(str(each) for each in types[first:])
            raise ValueError(f"weights are {found}, not {', '.join(str(each) for each in flat)}")

    def states(self, x: torch.Tensor, given: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor, ...]:
        """The initial states, zeros where absent."""
        batch = x.shape[0] if self.batch_first else x.shape[1]
        return tuple(
            x.new_zeros(self.layers * self.directions, batch, self.hidden) if state is None else state for state in given
        )

    def macs(self, node: Node) -> int:
        steps = node.input(0).tensor_shape[1 if self.batch_first else 0]
        weights = (v for v in node.inputs[1 + self.STATES :] if v is not None and v.type.rank == 2)
        return steps * sum(v.type.numel() for v in weights)


@dataclass(frozen=True)
class Lstm(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997), gates in torch's order i, f, g, o."""

    inputs = ("x", "h?", "c?", "*weights")
    STATES = 2
    GATES = 4

    def run(
        self,
        x: torch.Tensor,
        h: torch.Tensor | None,
        c: torch.Tensor | None,
        *weights: torch.Tensor,
        training: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, ...]:
        dropout = self.dropout if training else 0.0
        if torch.compiler.is_compiling() and torch.is_grad_enabled() and not x.requires_grad:
            # torch.compile takes a oneDNN layer without a gradient for its weights where the input needs none (2.13).
            x = x + 0.0 * weights[0].flatten()[0]
        y, h, c = torch.lstm(
            x, self.states(x, (h, c)), weights, self.bias, self.layers, dropout, training, self.bidirectional, self.batch_first
        )
        return y, h, c


@dataclass(frozen=True)
class Gru(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014), gates in torch's order r, z, n, with the reset gate applied after the product."""

    inputs = ("x", "h?", "*weights")
    GATES = 3

    def run(
        self, x: torch.Tensor, h: torch.Tensor | None, *weights: torch.Tensor, training: bool = False, **_: Any
    ) -> tuple[torch.Tensor, ...]:
        dropout = self.dropout if training else 0.0
        (state,) = self.states(x, (h,))
        y, h = torch.gru(x, state, weights, self.bias, self.layers, dropout, training, self.bidirectional, self.batch_first)
        return y, h


@dataclass(frozen=True)
class Rnn(_Recurrent):
    """Elman network: h = f(w_ih x + b_ih + w_hh h + b_hh), f tanh or relu."""

    inputs = ("x", "h?", "*weights")
    nonlinearity: str = "tanh"

    def run(
        self, x: torch.Tensor, h: torch.Tensor | None, *weights: torch.Tensor, training: bool = False, **_: Any
    ) -> tuple[torch.Tensor, ...]:
        dropout = self.dropout if training else 0.0
        (state,) = self.states(x, (h,))
        function = torch.rnn_tanh if self.nonlinearity == "tanh" else torch.rnn_relu
        y, h = function(x, state, weights, self.bias, self.layers, dropout, training, self.bidirectional, self.batch_first)
        return y, h
