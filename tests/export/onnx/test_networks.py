"""Whole networks from torch through the exact passes to ONNX: the same numbers in float, and on integers in int8."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit.export.onnx import export
from edgekit.frontend.source import load
from edgekit.ir import Graph
from edgekit.passes import EXACT, run_passes
from edgekit.runtime.onnx_optimized import optimized_operators
from tests.export.onnx.one_op import checked, run
from tests.export.onnx.scales import quantize, weight_params


class Residual(nn.Module):
    """Strided and depthwise convolutions, a residual sum, option-A padding of channels, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU6())
        self.pointwise = nn.Conv2d(8, 8, 1)
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = F.relu(x + self.pointwise(self.depthwise(x)))
        x = F.relu(self.down(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))
        return F.softmax(self.head(F.adaptive_avg_pool2d(x, 1).flatten(1)), dim=-1)


class Signal(nn.Module):
    """Windows of 6 channels, two recurrent layers, a score per class."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.rnn = kind(6, 24, num_layers=2, batch_first=True)
        self.head = nn.Linear(24, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.rnn(x.transpose(1, 2))
        return self.head(y[:, -1])


class Transformer(nn.Module):
    """Patches by Conv1d, encoder blocks with torch's attention, a mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv1d(6, 32, 8, stride=8)
        self.position = nn.Parameter(torch.randn(1, 16, 32) * 0.02)
        layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


class Upsampler(nn.Module):
    """An encoder and decoder with a skip connection: resize, concat, transposed convolution, group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.b = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = F.silu(self.norm(self.a(x)))
        deep = F.interpolate(F.hardswish(self.b(skip)), scale_factor=2.0, mode="bilinear")
        return torch.sigmoid(self.up(torch.cat([skip, deep], 1)))


NETWORKS = [
    pytest.param(Residual, (3, 16, 16), id="residual"),
    pytest.param(lambda: Signal(nn.LSTM), (6, 12), id="lstm"),
    pytest.param(lambda: Signal(nn.GRU), (6, 12), id="gru"),
    pytest.param(Transformer, (6, 128), id="transformer"),
    pytest.param(Upsampler, (3, 16, 16), id="upsampler"),
]


def graph_of(module: nn.Module, shape: Sequence[int]) -> Graph:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.normal_(part.running_mean)
    graph, _ = run_passes(load(module.eval(), (torch.randn(1, *shape),)), EXACT)
    return graph


@pytest.mark.parametrize(("make", "shape"), NETWORKS)
def test_a_network_gives_the_sources_outputs_at_every_batch(make: type[nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = make()
    model = export(graph_of(module, shape))
    checked(model)
    for batch in (1, 5):
        x = torch.randn(batch, *shape)
        with torch.no_grad():
            want = module(x)
        torch.testing.assert_close(run(model, [x])[0], want, rtol=0, atol=1e-5 * max(1.0, float(want.abs().max())))


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
def test_a_quantised_residual_network_runs_on_integers(unsigned: bool) -> None:
    torch.manual_seed(0)
    graph = graph_of(Residual(), (3, 16, 16))
    data = torch.randn(16, 3, 16, 16)
    quantize(graph, [[data]])
    model = export(graph, unsigned=unsigned)
    checked(model)
    with torch.no_grad():
        want = graph.module().eval()(data)
    assert float((run(model, [data])[0] - want).abs().max()) <= 3 / 256  # the softmax has 256 steps
    ran = optimized_operators(model, as_on_arm=not unsigned)
    assert {kind: count for kind, count in ran.items() if kind.startswith("QLinear")} == {
        "QLinearConv": 4,
        "QLinearAdd": 2,
        "QLinearGlobalAveragePool": 1,
        "QLinearSoftmax": 1,
    }
    assert ran["QGemm"] == 1
    # What is left between integers: Pad has no kernel for them. Outside: the input's and the output's own conversion.
    left = {kind for kind in ran if not kind.startswith(("QLinear", "QGemm"))}
    assert left == {"QuantizeLinear", "DequantizeLinear", "Transpose", "Slice", "Pad", "Reshape"}


def test_an_integer_image_is_resized_to_any_size_behind_an_integer_convolution() -> None:
    class Merge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.across = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            high = F.relu(self.down(x))
            return high + F.interpolate(F.relu(self.across(high)), size=high.shape[2:], mode="bilinear")

    torch.manual_seed(0)
    graph = graph_of(Merge(), (3, 26, 30))  # 13 x 15 out of 7 x 8: no ratio that float32 holds
    data = torch.randn(8, 3, 26, 30)
    quantize(graph, [[data]])
    model = export(graph)
    checked(model)
    with torch.no_grad():
        want = graph.module().eval()(data)
    step = graph.outputs[0].quant.scale[0]
    assert float((run(model, [data])[0] - want).abs().max()) <= 3 * step
    kinds = optimized_operators(model, as_on_arm=True)
    assert kinds["Resize"] == 1 and kinds["QLinearConv"] == 2


def test_weights_alone_may_be_quantised() -> None:
    torch.manual_seed(0)
    for module, shape in ((Residual(), (3, 16, 16)), (Signal(nn.LSTM), (6, 12)), (Signal(nn.GRU), (6, 12))):
        graph = graph_of(module, shape)
        data = torch.randn(8, *shape)
        plain = export(graph)
        for value in graph.constants():
            if value.type.rank >= 2:
                value.quant = weight_params(value.tensor.detach(), 0)
        model = export(graph)
        checked(model)
        assert len(model) < 0.6 * len(plain)
        with torch.no_grad():
            want = graph.module().eval()(data)
        torch.testing.assert_close(run(model, [data])[0], want, rtol=0, atol=1e-5)


def test_a_mask_of_padding_is_an_input_of_its_own() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

        def forward(self, x: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0]

    torch.manual_seed(0)
    module = Masked().eval()
    x, padding = torch.randn(2, 7, 16), torch.arange(7)[None].expand(2, 7) > torch.tensor([[4], [6]])
    graph, _ = run_passes(load(module, (x, padding)), EXACT)
    with torch.no_grad():
        want = module(x, padding)
    torch.testing.assert_close(run(export(graph), [x, padding])[0], want, rtol=0, atol=1e-5)


def test_an_embedding_looks_up_its_table_and_ties_it_to_the_head() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 16)
            self.head = nn.Linear(16, 50, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(ids).mean(1))

    torch.manual_seed(0)
    module = Tied().eval()
    ids = torch.randint(0, 50, (3, 7))
    graph, _ = run_passes(load(module, (ids,)), EXACT)
    model = export(graph)
    assert [tuple(tensor.dims) for tensor in checked(model).graph.initializer].count((50, 16)) == 1
    with torch.no_grad():
        want = module(ids)
    torch.testing.assert_close(run(model, [ids])[0], want, rtol=0, atol=1e-5)
    assert run(model, [ids[:1]])[0].shape == (1, 50)
