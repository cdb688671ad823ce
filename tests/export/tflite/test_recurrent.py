"""Recurrent layers: the kernels that TFLite has keep a state between calls; our files have no memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.compress.quantize.params import weight_params
from edgekit.errors import Unsupported
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.formats.tflite.read import read
from edgekit.frontend.source import load
from edgekit.ir import Graph, QuantParams, Simulator, ops
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.artifact import Artifact
from tests import tflite_runtimes
from tests.export.tflite.running import assert_equal_to_torch, op_counts


class Classifier(nn.Module):
    """The last step of a recurrent network, classified: a body-signal network as people write it."""

    def __init__(self, layer: nn.Module, last: str = "step") -> None:
        super().__init__()
        self.layer, self.head, self.last = layer, nn.Linear(16, 5), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, state = self.layer(x.transpose(1, 2))
        if self.last == "step":
            return self.head(y[:, -1])
        return self.head(state[0][-1] if isinstance(state, tuple) else state[-1])


LAYERS = {
    "lstm": lambda: nn.LSTM(6, 16, 2, batch_first=True),
    "gru": lambda: nn.GRU(6, 16, 2, batch_first=True),
    "rnn": lambda: nn.RNN(6, 16, batch_first=True),
}


def graph_of(module: nn.Module, *shape: int) -> Graph:
    return run_passes(load(module.eval(), (torch.randn(1, *shape),)), EXACT)[0]


@pytest.mark.parametrize("last", ["step", "state"])
@pytest.mark.parametrize("name", LAYERS)
def test_windows_of_a_signal_are_classified_one_after_the_other(name: str, last: str) -> None:
    torch.manual_seed(0)
    graph = graph_of(Classifier(LAYERS[name](), last), 6, 32)
    file = assert_equal_to_torch(graph, tolerance=1e-5)  # several calls of one loaded file
    x = np.random.default_rng(0).standard_normal((3, 6, 32)).astype(np.float32)
    want = Artifact(file).run(x)
    calls = [[sample[None]] for sample in x]
    for runtime in (tflite_runtimes.run_2_14, tflite_runtimes.run_micro):
        np.testing.assert_allclose(runtime(file, calls)[0][:, 0], want, atol=1e-5)


def test_an_lstm_is_the_fused_kernel_and_a_gru_one_loop_a_layer() -> None:
    assert op_counts(export(graph_of(Classifier(LAYERS["lstm"]()), 6, 32)))["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 2
    file = export(graph_of(Classifier(LAYERS["gru"]()), 6, 32))
    assert op_counts(file)["WHILE"] == 2
    assert len(read(file).subgraphs) == 5


def test_a_loop_of_which_only_the_end_is_read_keeps_no_sequence() -> None:
    file = export(graph_of(Classifier(nn.GRU(6, 16, batch_first=True)), 6, 32))
    assert all(o.name != "DYNAMIC_UPDATE_SLICE" for part in read(file).subgraphs for o in part.operators)


@pytest.mark.parametrize("name", ["gru", "rnn"])
def test_a_sequence_of_one_step_needs_no_loop(name: str) -> None:
    torch.manual_seed(0)
    graph = graph_of(Classifier(LAYERS[name]()), 6, 1)
    assert "WHILE" not in op_counts(assert_equal_to_torch(graph, tolerance=1e-5))


def test_the_size_of_a_loop_does_not_grow_with_the_steps() -> None:
    short, long = (len(export(graph_of(Classifier(nn.GRU(6, 16, batch_first=True)), 6, steps))) for steps in (16, 512))
    assert long - short < 64


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_integer_weights_beside_float_activations_run_in_old_runtimes_too(name: str) -> None:
    torch.manual_seed(0)
    graph = graph_of(Classifier(LAYERS[name]()), 6, 32)
    before = export(graph)
    for node in graph.nodes:
        if isinstance(node.op, ops.Lstm):
            for value in node.inputs[3:]:
                if value is not None and value.type.rank == 2:
                    value.quant = by_gate(value.tensor, 4)
        elif isinstance(node.op, ops.Gru | ops.Rnn):
            for value in node.inputs[2:]:
                if value is not None and value.type.rank == 2:
                    value.quant = weight_params(value.tensor, 0)
    file = export(graph)
    assert len(file) < len(before)
    x = np.random.default_rng(0).standard_normal((4, 6, 32)).astype(np.float32)
    want, got = Artifact(before).run(x), Artifact(file).run(x)
    assert 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum()) > 25
    old = tflite_runtimes.run_2_14(file, [[sample[None]] for sample in x])[0][:, 0]
    assert 10 * np.log10((want**2).sum() / ((want - old) ** 2).sum()) > 25


def by_gate(weight: torch.Tensor, gates: int) -> QuantParams:
    """One scale for the rows of each gate, as the fused kernel has them."""
    each = [weight_params(part, None).scale[0] for part in weight.detach().chunk(gates)]
    rows = weight.shape[0] // gates
    scale = tuple(s for s in each for _ in range(rows))
    return QuantParams("int8", scale, (0,) * len(scale), 0, narrow=True)


def test_weights_in_16_bits_are_expanded_before_a_recurrent_kernel() -> None:
    torch.manual_seed(0)
    graph = graph_of(Classifier(nn.LSTM(6, 16, batch_first=True)), 6, 32)
    x = np.random.default_rng(0).standard_normal((4, 6, 32)).astype(np.float32)
    want = Artifact(export(graph)).run(x)
    file = export(graph, TfliteOptions(float16=True))
    np.testing.assert_allclose(Artifact(file).run(x), want, atol=3e-3)


def test_integer_activations_are_refused_with_the_target_to_use() -> None:
    graph = graph_of(Classifier(nn.GRU(6, 16, batch_first=True)), 6, 32)
    layer = next(node for node in graph.nodes if isinstance(node.op, ops.Gru))
    for value in (layer.input(0), layer.output):
        value.quant = QuantParams("int8", (0.05,), (0,))
    with pytest.raises(Unsupported, match="'gru' with integer activations") as caught:
        export(graph)
    assert "tflite-dynamic" in str(caught.value.hint)
    assert caught.value.where


def integer_layer(seed: int) -> tuple[Graph, nn.LSTM, torch.Tensor]:
    """An LSTM in integers with everything that it returns, its module, and an input."""
    torch.manual_seed(seed)
    module = nn.LSTM(5 + seed % 7, 8 + seed % 9, batch_first=bool(seed % 3), bias=bool(seed % 5)).eval().requires_grad_(False)
    for parameter in module.parameters():
        parameter *= (1, 1, 3, 8)[seed % 4]
    x = 2 * torch.randn((1, 11, module.input_size) if module.batch_first else (11, 1, module.input_size))
    graph = run_passes(load(module, (x,), batch_axes=None if module.batch_first else {"input": 1}), EXACT)[0]
    (node,) = (node for node in graph.nodes if isinstance(node.op, ops.Lstm))
    y, hidden, cell = node.outputs
    node.input(0).quant = QuantParams("int8", (6 / 127,), (3,))
    y.quant = hidden.quant = QuantParams("int8", (2 / 255,), (seed % 3 - 1,))
    cell.quant = QuantParams("int16", (2.0 ** (seed % 4 - 14),), (0,))
    for value in node.inputs[3:5]:
        assert value is not None
        value.quant = by_gate(value.tensor, 4)
    return graph, module, x


@pytest.mark.parametrize("seed", range(8))
def test_an_integer_lstm_is_simulated_in_every_bit(seed: int) -> None:
    graph, module, x = integer_layer(seed)
    simulated = Simulator(graph).run([x])
    y, states = module(x)
    for mine, value, real, theirs in zip(
        simulated, graph.outputs, Artifact(export(graph)).run_flat(x.numpy()), (y, *states), strict=True
    ):
        assert value.quant is not None
        integers = np.rint(real / value.quant.scale[0]) + value.quant.zero_point[0]
        np.testing.assert_array_equal(integers, mine.numpy())
        error = float(((torch.from_numpy(real) - theirs) ** 2).sum())
        assert 10 * np.log10(float((theirs**2).sum()) / error) > 15 or seed % 4 == 3  # cells of 8 times the weights are held


def test_an_integer_lstm_runs_in_old_runtimes_and_to_a_step_in_tflite_micro() -> None:
    graph, _, x = integer_layer(1)
    file, wanted = export(graph), Simulator(graph).run([x])[0].numpy().astype(int)
    calls = [Artifact(file).stored(x.numpy())] * 2  # the second call begins anew
    for row in tflite_runtimes.run_2_14(file, calls)[0]:
        np.testing.assert_array_equal(row.reshape(wanted.shape), wanted)
    for row in tflite_runtimes.run_micro(file, calls)[0]:  # which has another table of sigmoids
        np.testing.assert_allclose(row.reshape(wanted.shape).astype(int), wanted, atol=1)


def test_a_cell_state_that_the_kernel_has_no_form_for_is_refused() -> None:
    graph, _, _ = integer_layer(1)
    graph.outputs[2].quant = QuantParams("int16", (0.001,), (0,))
    with pytest.raises(Unsupported, match="an integer LSTM with a cell state of"):
        export(graph)
