"""Weights in 8 bits beside float activations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import edgekit as ek
from edgekit.compress.quantize.dynamic_range import quantize_weights_only
from edgekit.export.tflite.exporter import export
from edgekit.export.tflite.options import TfliteOptions
from edgekit.ir import Graph, ops
from edgekit.metrics import sqnr_db
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.artifact import Artifact
from edgekit.target import Target
from tests.compress.quantize.prepared import of_kind, prepared


def test_only_large_weights_of_layers_become_integers() -> None:
    graph = prepared("""
        graph g(%x: float32[N,64])
          @w: float32[64,64] parameter
          @small: float32[4,64] parameter
          @c: float32[64]
          %a = linear(%x, @w)
          %b = tanh(%a)
          %m = mul(%b, @c)
          %y = linear(%m, @small)
          return %y
    """)
    after = quantize_weights_only(graph)
    assert {v.name for v in after.values() if v.quant is not None} == {"w"}
    assert after.state["w"].quant is not None and after.state["w"].quant.axis == 0
    assert all(v.quant is None for v in graph.values())
    assert {v.name for v in quantize_weights_only(graph, smallest=1).values() if v.quant is not None} == {"w", "small"}


def test_a_weight_that_something_else_reads_too_stays_float() -> None:
    text = "graph g(%x: float32[N,64,64])\n@w: float32[64,64] parameter\n%a = linear(%x, @w)\n%y = add(%a, @w)\nreturn %y"
    assert all(v.quant is None for v in quantize_weights_only(prepared(text)).values())


def test_tied_weights_of_two_layers_become_integers_once() -> None:
    text = (
        "graph g(%x: float32[N,64])\n@w: float32[64,64] parameter\n%a = linear(%x, @w)\n%b = tanh(%a)\n"
        "%y = linear(%b, @w)\nreturn %y"
    )
    assert quantize_weights_only(prepared(text)).state["w"].quant is not None


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], features: int = 6, hidden: int = 24) -> None:
        super().__init__()
        self.rnn = kind(features, hidden, 2, batch_first=True)
        self.head = nn.Linear(hidden, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def recurrent(kind: type[nn.RNNBase], hidden: int = 24) -> tuple[nn.Module, Graph]:
    torch.manual_seed(0)
    model = Recurrent(kind, hidden=hidden).eval()
    return model, run_passes(ek.load(model, torch.randn(1, 32, 6)), EXACT)[0]


def test_an_lstm_has_one_scale_per_gate_and_all_matrices_or_none() -> None:
    _, graph = recurrent(nn.LSTM)
    (lstm,) = of_kind(quantize_weights_only(graph), ops.Lstm)
    quants = [v.quant for v in lstm.inputs[3:] if v is not None and v.type.rank == 2]
    assert len(quants) == 4
    for quant, value in zip(quants, [v for v in lstm.inputs[3:] if v is not None and v.type.rank == 2], strict=True):
        assert quant is not None and quant.axis == 0
        for gate in range(4):
            rows = slice(24 * gate, 24 * (gate + 1))
            (scale,) = set(quant.scale[rows])
            assert scale == pytest.approx(float(value.tensor[rows].detach().abs().max()) / 127)
    _, small = recurrent(nn.LSTM, hidden=2)
    assert all(v.quant is None for v in quantize_weights_only(small).values())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=lambda k: k.__name__)
def test_recurrent_files_are_a_third_in_size_and_close_to_the_source(kind: type[nn.RNNBase]) -> None:
    model, graph = recurrent(kind, hidden=48)
    options = TfliteOptions.for_target(Target.load("tflite-dynamic"))
    small, large = export(quantize_weights_only(graph), options), export(graph, options)
    assert len(small) < 0.45 * len(large)
    x = torch.randn(16, 32, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = model(x).numpy()
    assert sqnr_db(wanted, np.asarray(Artifact(small).run(x.numpy()))) > 35.0
