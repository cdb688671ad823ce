"""Recurrent layers in all their forms: torch against LiteRT and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.export.onnx import export as export_onnx
from edgekit.export.tflite.exporter import export as export_tflite
from edgekit.frontend.source import load
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.artifact import Artifact

LAYERS: dict[str, Callable[..., nn.RNNBase]] = {
    "lstm": lambda **options: nn.LSTM(5, 4, **options),
    "gru": lambda **options: nn.GRU(5, 4, **options),
    "rnn tanh": lambda **options: nn.RNN(5, 4, **options),
    "rnn relu": lambda **options: nn.RNN(5, 4, nonlinearity="relu", **options),
}


@dataclass(frozen=True)
class Form:
    """A recurrent layer's options. ``given``: the call passes initial states; otherwise they are zeros."""

    kind: str
    bidirectional: bool
    layers: int
    batch_first: bool
    given: bool
    bias: bool = True

    def __str__(self) -> str:
        flags = [name for name in ("bidirectional", "batch_first", "given") if getattr(self, name)]
        return " ".join([self.kind, str(self.layers), *flags, *([] if self.bias else ["no bias"])])


class Layer(nn.Module):
    """A recurrent layer with everything that it returns; dropout between the layers vanishes in evaluation."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self.layer = LAYERS[form.kind](
            num_layers=form.layers,
            bidirectional=form.bidirectional,
            batch_first=form.batch_first,
            bias=form.bias,
            dropout=0.3 if form.layers > 1 else 0.0,
        )

    def forward(self, x: torch.Tensor, *states: torch.Tensor) -> object:
        if not states:
            return self.layer(x)
        return self.layer(x, tuple(states) if self.form.kind == "lstm" else states[0])


def assert_runtimes_agree(
    module: nn.Module, inputs: Sequence[torch.Tensor], batch_axes: dict[str, int], tolerance: float = 1e-5
) -> None:
    """Every output of both files is torch's."""
    wanted = [tensor.detach().numpy() for tensor in torch.utils._pytree.tree_leaves(module.eval()(*inputs))]
    graph, _ = run_passes(load(module, tuple(inputs), batch_axes=batch_axes or None), EXACT)
    for file in (export_tflite(graph), export_onnx(graph)):
        got = Artifact(file).run_flat([tensor.numpy() for tensor in inputs])
        assert len(got) == len(wanted)
        for a, b in zip(wanted, got, strict=True):
            np.testing.assert_allclose(b, a, atol=tolerance)


def assert_form(form: Form) -> None:
    torch.manual_seed(0)
    x = torch.randn((1, 7, 5) if form.batch_first else (7, 1, 5))
    shape = (form.layers * (2 if form.bidirectional else 1), 1, 4)
    states = [torch.randn(shape) for _ in range(2 if form.kind == "lstm" else 1)] if form.given else []
    axes = {} if form.batch_first else {"x": 1}
    axes |= {f"states_{index}": 1 for index in range(len(states))}
    assert_runtimes_agree(Layer(form), [x, *states], axes)


EVERY = [Form(*options) for options in product(LAYERS, (False, True), (1, 2, 3), (True, False), (False, True))]
EVERY += [Form(kind, both, 2, True, False, bias=False) for kind in LAYERS for both in (False, True)]

#: Every option of every kind of layer at least once.
SOME = [
    Form("lstm", False, 2, True, True),
    Form("lstm", True, 3, False, False),
    Form("gru", True, 2, True, True),
    Form("gru", False, 1, False, False, bias=False),
    Form("rnn tanh", True, 1, False, True),
    Form("rnn relu", False, 3, True, False),
]


@pytest.mark.parametrize("form", SOME, ids=str)
def test_a_recurrent_layer_gives_what_torch_gives_in_both_runtimes(form: Form) -> None:
    assert_form(form)


@pytest.mark.slow
@pytest.mark.parametrize("form", EVERY, ids=str)
def test_every_form_of_a_recurrent_layer_gives_what_torch_gives(form: Form) -> None:
    assert_form(form)


CELLS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: nn.LSTMCell(5, 4),
    "gru": lambda: nn.GRUCell(5, 4),
    "rnn tanh": lambda: nn.RNNCell(5, 4),
    "rnn relu": lambda: nn.RNNCell(5, 4, nonlinearity="relu", bias=False),
}


class Unrolled(nn.Module):
    """A cell stepped over time by the model's own loop."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, steps = None, []
        for t in range(x.shape[1]):
            state = self.cell(x[:, t]) if state is None else self.cell(x[:, t], state)
            steps.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(steps, 1)


@pytest.mark.parametrize("name", CELLS)
def test_cells_that_the_model_steps_itself_give_what_torch_gives(name: str) -> None:
    torch.manual_seed(0)
    assert_runtimes_agree(Unrolled(CELLS[name]()), [torch.randn(1, 4, 5)], {})


def test_one_step_of_a_cell_takes_and_returns_its_states() -> None:
    torch.manual_seed(0)

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(5, 4)

        def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.cell(x, (h, c))

    assert_runtimes_agree(Step(), [torch.randn(1, 5), torch.randn(1, 4), torch.randn(1, 4)], {})


def test_a_single_unbatched_sequence_is_taken_as_torch_takes_it() -> None:
    torch.manual_seed(0)
    graph, _ = run_passes(load(nn.LSTM(5, 4).eval(), (torch.randn(7, 5),), batch_axes={"input": None}), EXACT)
    x = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    wanted = [array.detach().numpy() for array in graph.module().eval().run([torch.from_numpy(x)])]
    for file in (export_tflite(graph), export_onnx(graph)):
        for a, b in zip(wanted, Artifact(file).run_flat([x]), strict=True):
            np.testing.assert_allclose(b, a, atol=1e-5)
