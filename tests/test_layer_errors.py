"""The first layer that differs is the first one with an error."""

from __future__ import annotations

import math

import pytest
import torch

from edgekit.alone_errors import alone_errors
from edgekit.ir import QuantParams
from edgekit.ir.text import parse
from edgekit.layer_errors import layer_errors
from edgekit.metrics import max_abs_error, sqnr_db

NET = """
    graph net(%x: float32[N,4])
      @a: float32[8,4] parameter
      @b: float32[3,8] parameter
      %h = linear(%x, @a)
      %r = relu(%h)
      %y = linear(%r, @b)
      %c = argmax(%y)
      return %y, %c
"""


def test_errors_begin_where_the_graphs_differ() -> None:
    graph = parse(NET)
    quantised = graph.copy()
    quantised.value("r").quant = QuantParams("int8", (0.05,), (-128,))
    generator = torch.Generator().manual_seed(1)
    batches = [[torch.randn(5, 4, generator=generator)] for _ in range(3)]
    errors = layer_errors(graph, quantised, batches)
    assert list(errors) == ["h", "r", "y"]
    assert errors["h"].sqnr_db == math.inf and errors["h"].max_abs_error == 0.0
    assert 20 < errors["r"].sqnr_db < 60 and 0 < errors["r"].max_abs_error < 1.0

    def outputs(g: object) -> torch.Tensor:
        return torch.cat([g.module().run(b)[0] for b in batches]).detach()  # type: ignore[attr-defined]

    assert errors["y"].sqnr_db == pytest.approx(sqnr_db(outputs(graph), outputs(quantised)), abs=1e-3)
    assert errors["y"].max_abs_error == pytest.approx(max_abs_error(outputs(graph), outputs(quantised)), abs=1e-6)


def test_values_of_other_names_or_shapes_are_left_out() -> None:
    other = parse(NET.replace("%h", "%renamed").replace("8,4", "6,4").replace("3,8", "3,6"))
    assert list(layer_errors(parse(NET), other, [[torch.ones(1, 4)]])) == ["y"]


def test_a_value_that_breaks_has_no_signal_left() -> None:
    broken = parse(NET, lambda name, type: torch.full(type.at(1), float("nan")))
    error = layer_errors(parse(NET), broken, [[torch.ones(1, 4)]])["y"]
    assert error.sqnr_db == -math.inf and error.max_abs_error == math.inf


def test_a_layers_own_error_is_that_of_the_graph_in_which_it_alone_is_quantised() -> None:
    graph = parse(NET)
    x = [torch.randn(7, 4, generator=torch.Generator().manual_seed(2))]
    wanted = graph.module().run(list(x))[0].detach()
    weights, output, last = (
        QuantParams("int8", (0.02,), (0,)),
        QuantParams("int8", (0.05,), (-128,)),
        QuantParams("int8", (0.1,), (0,)),
    )
    everything = graph.copy()
    alone = {}
    for name, constant, quant in (("h", "a", last), ("r", None, output), ("y", "b", last)):
        one = graph.copy()
        for changed in (one, everything):
            changed.value(name).quant = quant
            if constant is not None:
                changed.value(constant).quant = weights
        alone[name] = sqnr_db(wanted, one.module().run(list(x))[0].detach())
    found = alone_errors(graph, everything, x, ["y"], effort=10**9)
    assert found == pytest.approx(alone, abs=1e-3) and list(found) == ["h", "r", "y"]
    assert alone_errors(graph, everything, x, ["y"], effort=1000) == {}
    assert list(alone_errors(graph, everything, x, ["r"], effort=10**9)) == ["h", "r"]


def test_borders_between_integers_and_floats_are_no_layers() -> None:
    graph = parse("graph g(%x: float32[N,4])\n @a: float32[4,4]\n %h = linear(%x, @a)\n %y = relu(%h)\n return %y")
    mixed = parse(
        "graph g(%x: float32[N,4])\n @a: float32[4,4]\n %f = identity(%x)\n %h = linear(%f, @a)\n %q = identity(%h)\n"
        " %y = relu(%q)\n return %y"
    )
    scale = QuantParams("int8", (0.05,), (0,))
    for name in ("a", "q", "y"):
        mixed.value(name).quant = scale
    found = alone_errors(graph, mixed, [torch.randn(5, 4, generator=torch.Generator().manual_seed(3))], ["y"], effort=10**9)
    assert list(found) == ["h", "y"] and all(20 < error < 60 for error in found.values())
