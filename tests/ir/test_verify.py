"""The verifier finds what is wrong, whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn

from edgekit.ir import Graph, TensorType, Value, ops
from edgekit.ir.graph import Node
from edgekit.ir.text import parse
from edgekit.ir.verify import verify
from tests.ir.random_graphs import graphs

NET = """
    graph g(%x: float32[N,4])
      @w: float32[4,4] parameter
      %a = linear(%x, @w)
      %b = relu(%a)
      %c = add(%b, %x)
      return %c
"""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs())
def test_sound_graphs_pass(graph: Graph) -> None:
    verify(graph)


def add_output_twice(graph: Graph) -> None:
    node = Node(ops.Relu(), [graph.value("x")], [graph.value("b")])
    graph.value("x").users.append(node)
    graph.nodes.append(node)


def read_undefined(graph: Graph) -> None:
    graph.set_input(graph.nodes[1], 0, Value("ghost", graph.value("a").type))


def keep_removed_user(graph: Graph) -> None:
    graph.value("x").users.append(Node(ops.Relu(), [graph.value("x")], []))


def forget_user(graph: Graph) -> None:
    graph.value("a").users.clear()


PLANTED: dict[str, tuple[Callable[[Graph], object], str]] = {
    "nodes out of order": (lambda g: g.nodes.reverse(), "before it is computed"),
    "a value that nobody computes": (read_undefined, "before it is computed"),
    "an output that nobody computes": (lambda g: g.outputs.append(Value("ghost", g.value("a").type)), "is never computed"),
    "a wrong type": (lambda g: setattr(g.value("a"), "type", TensorType(torch.float32, (3,))), "is declared float32"),
    "a wrong dtype": (lambda g: setattr(g.value("b"), "type", TensorType(torch.int8, g.value("b").shape)), "is declared int8"),
    "two values of one name": (lambda g: setattr(g.value("a"), "name", "b"), "two values are called 'b'"),
    "a reader that is not in the graph": (keep_removed_user, "lists readers that are not in the graph"),
    "a reader that is not listed": (forget_user, "does not know its reader"),
    "another producer": (lambda g: setattr(g.value("a"), "producer", g.nodes[1]), "has another producer"),
    "a value computed twice": (add_output_twice, "has another producer|is computed twice"),
    "a computed constant": (lambda g: setattr(g.value("a"), "data", torch.zeros(1)), "computed and constant at once"),
    "data of another shape": (lambda g: setattr(g.value("w"), "data", nn.Parameter(torch.zeros(2))), "holds data of shape"),
    "a parameter outside the state": (lambda g: g.state.clear(), "is not in the graph's state"),
}


@pytest.mark.parametrize("error", PLANTED)
def test_planted_errors_are_found(error: str) -> None:
    plant, message = PLANTED[error]
    graph = parse(NET)
    plant(graph)
    with pytest.raises(AssertionError, match=message):
        verify(graph)


def test_only_touched_nodes_are_inferred_again() -> None:
    graph = parse(NET)
    graph.value("a").type = graph.value("b").type = graph.value("c").type = TensorType(torch.float32, (7, 4))
    verify(graph, touched=[])
    with pytest.raises(AssertionError, match="%a is declared"):
        verify(graph, touched=[graph.nodes[0]])
