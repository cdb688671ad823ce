"""Graphs executed in integers: borders, structure, batches, errors."""

from __future__ import annotations

import pytest
import torch

from edgekit import ir
from edgekit.errors import Unsupported
from edgekit.ir import Graph, N, QuantParams, Simulator, TensorType, Value, Where, ops, simulate
from edgekit.ir.quantized_data import dequantize, quantize

Q = QuantParams("int8", (0.05,), (-13,))
WIDE = QuantParams("int8", (0.2,), (4,))


def conv_net(output: QuantParams | None = WIDE) -> Graph:
    """A convolution, an addition and a linear layer, all in integers."""
    torch.manual_seed(0)
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N, 3, 8, 8)))
    w, b = graph.constant(torch.randn(4, 3, 3, 3) * 0.2), graph.constant(torch.randn(4))
    w.quant = QuantParams("int8", (0.01, 0.02, 0.015, 0.01), (0,) * 4, 0, True)
    b.quant = QuantParams("int32", tuple(0.05 * s for s in w.quant.scale), (0,) * 4, 0)
    y = graph.add(ops.Conv2d(padding=((1, 1), (1, 1)), activation="relu"), x, w, b)
    z = graph.add(ops.Mean((2, 3)), graph.add(ops.Add(), y, y))
    v = graph.constant(torch.randn(5, 4) * 0.3)
    v.quant = QuantParams("int8", (0.01,), (0,), None, True)
    out = graph.add(ops.Linear(), z, v, None)
    for value in graph.values():
        if not value.is_constant:
            value.quant = Q if value is x else WIDE
    graph.outputs = [out]
    out.quant = output
    return graph


def test_it_is_reached_through_the_door_of_the_graph_room() -> None:
    assert ir.simulate is simulate
    assert "simulate" in ir.__all__
    with pytest.raises(AttributeError, match="nothing"):
        _ = ir.nothing  # type: ignore[attr-defined]


def test_it_returns_floats_close_to_the_float_module() -> None:
    graph = conv_net()
    x = torch.randn(70, 3, 8, 8)
    y = simulate(graph, x)
    assert y.dtype == torch.float32
    assert (y - graph.module()(x)).abs().max() <= 2.01 * WIDE.scale[0]
    assert torch.unique(y).numel() > 10


def test_samples_do_not_depend_on_how_many_run_together() -> None:
    graph = conv_net()
    x = torch.randn(11, 3, 8, 8)
    whole = simulate(graph, x, samples=11)
    assert all(torch.equal(simulate(graph, x, samples=samples), whole) for samples in (1, 4, 100))


def test_an_integer_input_is_taken_as_it_is() -> None:
    graph = conv_net()
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(simulate(graph, quantize(x, Q)), simulate(graph, x))


def test_the_observer_sees_integers_where_values_are_quantised() -> None:
    graph = conv_net()
    seen: dict[str, torch.Tensor] = {}
    [raw] = Simulator(graph).run([torch.randn(2, 3, 8, 8)], lambda value, tensor: seen.__setitem__(value.name, tensor))
    assert {v.name for v in graph.values() if not v.is_constant} == set(seen)
    assert all(tensor.dtype == torch.int8 for tensor in seen.values())
    assert raw.dtype == torch.int8


def island() -> Graph:
    """Integers, a float exponential, integers again, and a float output."""
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N, 6)))
    q = graph.add(ops.Identity(), x)
    r = graph.add(ops.Relu(), q)
    f = graph.add(ops.Identity(), r)
    g = graph.add(ops.Identity(), graph.add(ops.Neg(), f))
    h = graph.add(ops.Identity(), g)
    out = graph.add(ops.Identity(), h)
    q.quant = r.quant = Q
    g.quant = QuantParams("int8", (0.1,), (50,))
    h.quant = QuantParams("int8", (0.07,), (60,))
    graph.outputs = [out]
    return graph


def test_identities_quantise_dequantise_and_requantise_at_the_borders() -> None:
    graph = island()
    x = torch.randn(3, 6) * 2
    seen: dict[int, torch.Tensor] = {}
    [y] = Simulator(graph).run([x], lambda value, tensor: seen.__setitem__(id(value), tensor))
    dtypes = [seen[id(node.output)].dtype for node in graph.nodes]
    assert dtypes == [torch.int8, torch.int8, torch.float32, torch.float32, torch.int8, torch.int8, torch.float32]
    assert (y + torch.relu(x)).abs().max() < 0.15


def test_a_float_exactly_between_two_integers_is_rounded_away_from_zero_by_the_operator_and_to_even_at_the_input() -> None:
    step = QuantParams("int8", (1.0,), (0,))
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N, 2)))
    y = graph.add(ops.Identity(), x)
    graph.outputs = [y]
    halves = torch.tensor([[0.5, 2.5]])
    y.quant = step
    assert Simulator(graph).run([halves])[0].tolist() == [[1, 3]]
    x.quant = step
    assert Simulator(graph).run([halves])[0].tolist() == [[0, 2]]


def test_the_callers_autocast_does_not_reach_float_islands() -> None:
    graph, x = island(), torch.randn(3, 6) * 2
    plain = simulate(graph, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(simulate(graph, x), plain)


def test_an_embedding_looks_up_integers() -> None:
    graph = Graph()
    index = graph.add_input("index", TensorType(torch.int64, (N, 4)))
    table = graph.constant(torch.randn(10, 6))
    table.quant = Q
    y = graph.add(ops.Gather(0), table, index)
    y.quant = Q
    graph.outputs = [y]
    i = torch.randint(0, 10, (3, 4))
    assert torch.equal(Simulator(graph).run([i])[0], quantize(table.tensor, Q)[i])


def test_weights_beside_float_activations_are_used_dequantised() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N, 4)))
    w = graph.constant(torch.randn(3, 4))
    w.quant = QuantParams("int8", (0.02,), (0,), None, True)
    graph.outputs = [graph.add(ops.Linear(), x, w, None)]
    data = torch.randn(5, 4)
    assert torch.allclose(simulate(graph, data), data @ dequantize(quantize(w.tensor, w.quant), w.quant).T, atol=1e-6)


def test_a_constant_that_an_integer_and_a_float_node_read_is_right_for_both() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N, 4)))
    w = graph.constant(torch.randn(3, 4))
    w.quant = QuantParams("int8", (0.02,), (0,), None, True)
    f = graph.add(ops.Linear(), x, w, None)
    q = graph.add(ops.Identity(), x)
    y = graph.add(ops.Linear(), q, w, None)
    q.quant = y.quant = QuantParams("int8", (0.05,), (0,))
    graph.outputs = [f, y]
    data = torch.randn(5, 4)
    first, second = simulate(graph, data)
    assert (first - second).abs().max() < 0.3


def test_an_op_without_an_integer_kernel_is_refused_with_its_place() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N, 4)))
    y = graph.add(ops.Sin(), x, where=(Where("model.1", "net.py", 30, "forward"),))
    x.quant = y.quant = Q
    graph.outputs = [y]
    with pytest.raises(Unsupported, match="no integer simulation of 'sin'") as raised:
        simulate(graph, torch.randn(1, 4))
    assert raised.value.where == "model.1 (net.py:30, in forward)"
    assert raised.value.hint


def test_parameters_that_the_runtime_refuses_are_refused_with_the_place() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(torch.float32, (N, 4)))
    y = graph.add(ops.Softmax(), x, where=(Where("head", "net.py", 3, "forward"),))
    x.quant = y.quant = Q
    graph.outputs = [y]
    with pytest.raises(Unsupported, match="1/256") as raised:
        simulate(graph, torch.randn(1, 4))
    assert raised.value.where == "head (net.py:3, in forward)"


def test_a_bias_that_does_not_fit_is_refused_by_its_name() -> None:
    graph = conv_net()
    bias = graph.nodes[0].input(2)
    assert isinstance(bias, Value)
    bias.quant = QuantParams("int32", (1e-12,) * 4, (0,) * 4, 0)
    with pytest.raises(Unsupported, match="doesn't fit 32 bits") as raised:
        Simulator(graph)
    assert str(raised.value.where).startswith(f"@{bias.name}")


def test_a_half_quantised_node_is_a_mistake_of_the_program() -> None:
    graph = conv_net(output=None)
    with pytest.raises(ValueError, match="only 'identity'"):
        Simulator(graph)


def test_shapes_and_arguments_that_do_not_fit_are_refused() -> None:
    graph = conv_net()
    with pytest.raises(ValueError, match="input 'x'"):
        simulate(graph, torch.randn(1, 3, 9, 8))
    with pytest.raises(TypeError, match="1 positional"):
        simulate(graph, torch.randn(1, 3, 8, 8), torch.randn(1))
