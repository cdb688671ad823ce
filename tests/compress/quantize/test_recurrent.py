"""LSTM layers in integers: where, with which parameters, and how near to the float ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit import Unsupported
from edgekit.compress.quantize.policy import LITERT, TFLM, Policy
from edgekit.compress.quantize.post_training import PostTraining, quantize
from edgekit.frontend.source import load
from edgekit.ir import Graph, Simulator, ops
from edgekit.ir.quantized_data import dequantize
from edgekit.passes import EXACT, run_passes
from edgekit.precision import LayerPrecision, PrecisionPlan

PLAIN = PostTraining(observer="min_max", bias_correction=False)
NAMED = PrecisionPlan(layers={"lstm": LayerPrecision(activations="int8")})


class Signal(nn.Module):
    """A convolution, an LSTM and a classifier of its last step: a body-signal network."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.conv, self.lstm = nn.Conv1d(6, 12, 3, padding=1), nn.LSTM(12, 16, batch_first=True, **options)  # type: ignore[arg-type]
        self.head = nn.Linear(32 if options.get("bidirectional") else 16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(torch.relu(self.conv(x)).transpose(1, 2))[0][:, -1])


def float_graph(**options: object) -> tuple[Graph, torch.Tensor]:
    torch.manual_seed(0)
    x = torch.randn(16, 6, 24)
    return run_passes(load(Signal(**options).eval(), (x[:1],)), EXACT)[0], x


def lstms(graph: Graph) -> list[tuple[str, str]]:
    """Of every LSTM, what its output and its cell state are held in."""
    return [
        (node.output.quant.dtype, node.outputs[2].quant.dtype)
        if node.output.quant and node.outputs[2].quant
        else ("float", "float")
        for node in graph.nodes
        if isinstance(node.op, ops.Lstm)
    ]


def test_litert_keeps_an_lstm_float_until_it_is_named() -> None:
    graph, x = float_graph()
    assert lstms(quantize(graph, [[x]], options=PLAIN)[0]) == [("float", "float")]
    assert lstms(quantize(graph, [[x]], options=PLAIN, plan=NAMED)[0]) == [("int8", "int16")]


@pytest.mark.parametrize(("policy", "plan"), [(TFLM, None), (LITERT, NAMED)], ids=["tflm", "named"])
def test_layers_and_directions_have_scales_of_their_own_and_stay_near_the_float_ones(
    policy: Policy, plan: PrecisionPlan | None
) -> None:
    graph, x = float_graph(num_layers=2, bidirectional=True)
    quantized, record = quantize(graph, [[x]], policy=policy, options=PLAIN, plan=plan)
    assert lstms(quantized) == [("int8", "int16")] * 4 and not record.islands
    for node in quantized.nodes:
        if isinstance(node.op, ops.Lstm):
            assert node.outputs[0].quant == node.outputs[1].quant
            assert len(set(node.input(3).quant.scale)) == 4  # type: ignore[union-attr]
    output = quantized.outputs[0]
    assert output.quant is not None
    got = dequantize(Simulator(quantized).run([x])[0], output.quant)
    with torch.no_grad():
        wanted = graph.module().eval().run([x])[0]
    assert 10 * torch.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()) > 28


def test_a_cell_state_holds_what_it_reaches_between_the_steps() -> None:
    graph, x = float_graph()
    with torch.no_grad():
        for name in ("lstm.bias_ih_l0", "lstm.bias_hh_l0"):
            graph.state[name].tensor.view(4, 16)[:3] += 3.0  # gates open, candidates are 1: the cell counts the steps
    quantized, _ = quantize(graph, [[x]], policy=TFLM, options=PLAIN)
    (node,) = (node for node in quantized.nodes if isinstance(node.op, ops.Lstm))
    assert node.outputs[2].quant is not None and node.outputs[2].quant.scale[0] == 2.0**-10  # up to 32: 24 steps


def test_tflite_micro_refuses_gru_and_rnn_with_what_to_use_instead() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.GRU(6, 8, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)[0]

    x = torch.randn(8, 10, 6)
    graph, _ = run_passes(load(Net().eval(), (x[:1],)), EXACT)
    with pytest.raises(Unsupported, match="'gru'") as caught:
        quantize(graph, [[x]], policy=TFLM, options=PLAIN)
    assert "an LSTM has an 8-bit form" in str(caught.value.hint)
