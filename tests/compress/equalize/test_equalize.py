"""The outputs stay, the channels' ranges become equal; what changes the function on purpose is measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.compress.equalize.application import equalize_graph
from edgekit.compress.equalize.pairs import find_pairs
from edgekit.compress.equalize.scaling import Weights
from edgekit.errors import ParityError, Unsupported, UsageError
from edgekit.ir import Graph
from edgekit.ir.text import parse
from tests.rewrites import random_inputs

#: Two layers of every kind, with the sizes of the input.
PAIRS = {
    "convolutions": (
        "%x: float32[N,3,8,8]", "@v: float32[8,3,3,3] parameter\n@c: float32[8] parameter\n@w: float32[5,8,3,3] parameter",
        "%a = conv2d(%x, @v, @c, activation='relu')\n%y = conv2d(%a, @w, padding=((1, 1), (1, 1)))",
    ),
    "depthwise": (
        "%x: float32[N,3,8,8]", "@v: float32[8,3,1,1] parameter\n@c: float32[8] parameter\n@w: float32[16,1,3,3] parameter",
        "%a = conv2d(%x, @v, @c, activation='relu')\n%y = conv2d(%a, @w, groups=8)",
    ),
    "groups": (
        "%x: float32[N,4,8,8]", "@v: float32[8,2,3,3] parameter\n@c: float32[8] parameter\n@w: float32[6,4,3,3] parameter",
        "%a = conv2d(%x, @v, @c, groups=2)\n%r = leaky_relu(%a, slope=0.1)\n%y = conv2d(%r, @w, groups=2)",
    ),
    "one-dimensional": (
        "%x: float32[N,3,20]", "@v: float32[8,3,3] parameter\n@w: float32[5,8,3] parameter",
        "%a = conv1d(%x, @v, activation='relu')\n%p = max_pool1d(%a, kernel=(2,), stride=(2,), padding=(0,), dilation=(1,))\n"
        "%y = conv1d(%p, @w)",
    ),
    "transposed": (
        "%x: float32[N,4,5,5]", "@v: float32[4,3,3,3] parameter\n@c: float32[6] parameter\n@w: float32[6,5,2,2] parameter",
        "%a = conv_transpose2d(%x, @v, @c, stride=(2, 2), groups=2, activation='relu')\n"
        "%y = conv_transpose2d(%a, @w, stride=(1, 1))",
    ),
    "linear": (
        "%x: float32[N,6]", "@v: float32[8,6] parameter\n@c: float32[8] parameter\n@w: float32[5,8] parameter",
        "%a = linear(%x, @v, @c, activation='relu')\n%y = linear(%a, @w)",
    ),
    "flattened": (
        "%x: float32[N,3,4,4]", "@v: float32[8,3,1,1] parameter\n@s: float32[8]\n@w: float32[5,128] parameter",
        "%a = conv2d(%x, @v)\n%p = prelu(%a, @s)\n%f = reshape(%p, shape=(N, 128))\n%y = linear(%f, @w)",
    ),
    "chain": (
        "%x: float32[N,3,8,8]",
        "@v: float32[8,3,1,1] parameter\n@c: float32[8] parameter\n@u: float32[8,1,3,3] parameter\n"
        "@w: float32[5,8,1,1] parameter",
        "%a = conv2d(%x, @v, @c, activation='relu')\n%b = conv2d(%a, @u, groups=8, activation='relu')\n%y = conv2d(%b, @w)",
    ),
}  # fmt: skip


def graph_of(kind: str, spread: float = 4.0) -> Graph:
    """The pair with channels of very different sizes."""
    header, weights, body = PAIRS[kind]
    graph = parse(f"graph g({header})\n{weights}\n{body}\nreturn %y")
    generator = torch.Generator().manual_seed(5)
    for value in graph.constants():
        data = torch.randn(value.tensor.shape, generator=generator)
        sizes = torch.exp(spread * (torch.rand(data.shape[0], generator=generator) - 0.5))
        with torch.no_grad():
            value.tensor.copy_(data * sizes.reshape(-1, *[1] * (data.dim() - 1)))
    return graph


def outputs(graph: Graph, inputs: list[torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return graph.module().eval().run(list(inputs))[0]


@pytest.mark.parametrize("kind", PAIRS)
def test_the_outputs_stay_and_the_ranges_become_equal(kind: str) -> None:
    graph = graph_of(kind)
    inputs = random_inputs(graph, 16, 1)
    before = {value.name: value.tensor.detach().clone() for value in graph.constants()}
    after, done = equalize_graph(graph, [])
    a, b = outputs(graph, inputs), outputs(after, inputs)
    assert float((a - b).abs().max()) <= 1e-5 * float(a.abs().max())
    assert done.error <= 1e-5
    pairs, _ = find_pairs(after)
    weights = Weights(pairs)
    for pair in pairs:
        made, read = weights.made(pair.first), weights.read(pair.second, pair.repeat)
        torch.testing.assert_close(made, read, rtol=1e-3, atol=0)
    for value in graph.constants():  # the given graph is as it was
        assert torch.equal(value.tensor, before[value.name])


def test_the_scales_are_the_papers() -> None:
    graph = graph_of("convolutions")
    v, w = (graph.state[name].tensor.detach().double().numpy() for name in ("v", "w"))
    r1, r2 = np.abs(v).max((1, 2, 3)), np.abs(w).max((0, 2, 3))
    s = np.sqrt(r1 * r2) / r2
    after, _ = equalize_graph(graph, [])
    np.testing.assert_allclose(after.state["v"].tensor.detach(), v / s[:, None, None, None], rtol=1e-4)
    np.testing.assert_allclose(after.state["w"].tensor.detach(), w * s[None, :, None, None], rtol=1e-4)
    np.testing.assert_allclose(after.state["c"].tensor.detach(), graph.state["c"].tensor.detach().numpy() / s, rtol=1e-4)


def test_channels_that_nothing_makes_or_reads_blow_nothing_up() -> None:
    graph = graph_of("convolutions")
    with torch.no_grad():
        graph.state["v"].tensor[0] = 0.0
        graph.state["c"].tensor[0] = 0.0
        graph.state["v"].tensor[1] *= 1e-9
        graph.state["c"].tensor[1] = 3.0
        graph.state["w"].tensor[:, 2] = 0.0
    after, _ = equalize_graph(graph, [])
    assert float(after.state["c"].tensor.detach().abs().max()) < 100
    assert all(bool(torch.isfinite(v.tensor).all()) for v in after.constants())


def mobile(activation: str = "relu") -> torch.nn.Module:
    from torch import nn

    torch.manual_seed(0)
    act = {"relu": nn.ReLU, "relu6": nn.ReLU6}[activation]
    layers = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), act()]
    layers += [nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), act()]
    layers += [nn.Conv2d(8, 12, 1), nn.BatchNorm2d(12), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)]
    module = nn.Sequential(*layers)
    for part in module:
        if isinstance(part, nn.BatchNorm2d):
            with torch.no_grad():
                part.weight.copy_(torch.rand(part.num_features) * 3 + 0.1)
                part.bias.normal_()
                part.running_var.uniform_(0.2, 3)
    return module.eval()


def test_the_step_folds_batch_norms_and_leaves_one_record() -> None:
    module = mobile()
    graph = ek.load(module, (torch.randn(2, 3, 8, 8),))
    after = ek.Equalize().apply(graph)
    record = after.history[-1]
    assert record.step == "equalize" and record.warnings == ()
    assert [(p["first"], p["second"]) for p in record.details["pairs"]] == [("0", "3"), ("3", "6"), ("6", "11")]
    assert record.declined == {"11": "its output is one of the model's"}
    assert record.details["error"] <= 1e-5
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        wanted, got = module(x), after.module().eval()(x)
    assert float((wanted - got).abs().max()) <= 2e-5 * float(wanted.abs().max())


def test_it_is_a_step_of_a_recipe_by_its_name() -> None:
    from edgekit.compress.steps import parse_steps

    assert parse_steps([{"step": "equalize", "replace_relu6": True}], None) == (ek.Equalize(replace_relu6=True),)
    assert ek.Equalize(absorb_bias=True).options() == {"absorb_bias": True}


def test_a_relu6_is_replaced_on_request_and_the_change_is_measured() -> None:
    graph = ek.load(mobile("relu6"), (torch.randn(2, 3, 8, 8),))
    kept = ek.Equalize().apply(graph)
    assert all("replace_relu6" in kept.history[-1].declined[name] for name in ("0", "3", "6"))
    x = np.random.default_rng(0).normal(size=(64, 3, 8, 8)).astype(np.float32) * 4
    after = ek.Equalize(replace_relu6=True).apply(graph, ek.Data(calibration=x))
    record = after.history[-1]
    assert len(record.details["replaced_relu6"]) == 3
    with torch.no_grad():
        wanted = graph.module().eval()(torch.from_numpy(x)).double()
        got = after.module().eval()(torch.from_numpy(x)).double()
    measured = 10 * np.log10(float(wanted.square().sum() / (wanted - got).square().sum()))
    assert record.details["sqnr_db"] == pytest.approx(measured, abs=0.05)
    assert f"{measured:.1f} dB apart on the data" in record.warnings[0]


def test_high_biases_move_on_where_the_reader_does_not_pad() -> None:
    graph = graph_of("chain", spread=0.0)
    with torch.no_grad():
        graph.state["v"].tensor.mul_(0.1)
        graph.state["c"].tensor.copy_(torch.linspace(0.0, 7.0, 8))
    x = torch.randn(256, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    after, done = equalize_graph(graph, [[x]], absorb=True)
    plain, _ = equalize_graph(graph, [[x]])
    bias, old = after.state["c"].tensor.detach(), plain.state["c"].tensor.detach()
    with torch.no_grad():
        y = torch.nn.functional.conv2d(x, plain.state["v"].tensor, old).double().movedim(1, -1).flatten(0, -2)
    shift = (y.mean(0) - 3 * y.std(0, correction=0)).clamp(min=0)
    assert float(shift.max()) > 1
    np.testing.assert_allclose((old - bias).double(), shift, atol=1e-4)
    a, b = outputs(graph, [x]), outputs(after, [x])
    assert done.sqnr_db is not None and done.sqnr_db > 30
    assert float((a - b).square().sum()) < 1e-3 * float(a.square().sum())


def test_absorbing_declines_padding_readers_and_needs_data() -> None:
    x = torch.randn(32, 3, 8, 8)
    _, done = equalize_graph(graph_of("convolutions"), [[x]], absorb=True)
    assert done.not_absorbed == {"v": "the convolution behind it pads with zeros, which the absorbed bias would not be part of"}
    with pytest.raises(UsageError, match="absorbing biases needs data"):
        equalize_graph(graph_of("convolutions"), [], absorb=True)


def test_a_quantised_graph_and_a_changed_output_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of("linear")
    monkeypatch.setattr("edgekit.compress.equalize.application.TOLERANCE", 0.0)
    with pytest.raises(ParityError, match="equalisation would change output 'y'"):
        equalize_graph(graph, [])
    graph.inputs[0].quant = ek.QuantParams("int8", (0.1,))
    with pytest.raises(Unsupported, match="equalising a quantised graph"):
        ek.Equalize().apply(graph)
