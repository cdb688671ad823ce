"""Copies of a graph: independent in structure, sharing tensors or not, however deep the graph."""

from __future__ import annotations

import copy
import pickle

import torch
from hypothesis import HealthCheck, given, settings

from edgekit.ir import Graph, N, TensorType, ops
from edgekit.ir.cloning import clone, flatten, unflatten
from edgekit.ir.history import StepRecord
from edgekit.ir.text import parse, to_text
from edgekit.ir.verify import verify
from tests.ir.random_graphs import graphs

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@SETTINGS
@given(graphs())
def test_copies_are_equal_and_sound(graph: Graph) -> None:
    for twin in (graph.copy(), copy.deepcopy(graph), pickle.loads(pickle.dumps(graph)), unflatten(flatten(graph))):
        verify(twin)
        assert to_text(twin) == to_text(graph)
        assert not {id(v) for v in twin.values()} & {id(v) for v in graph.values()}
        assert not {id(n) for n in twin.nodes} & {id(n) for n in graph.nodes}


@SETTINGS
@given(graphs())
def test_a_copy_shares_tensors_and_a_deep_copy_does_not(graph: Graph) -> None:
    for mine, theirs in zip(graph.copy().constants(), graph.constants(), strict=True):
        assert mine.data is theirs.data
    for mine, theirs in zip(copy.deepcopy(graph).constants(), graph.constants(), strict=True):
        assert mine.data is not theirs.data and torch.equal(mine.tensor, theirs.tensor)


def test_changing_a_copy_leaves_the_original() -> None:
    graph = parse("graph g(%x: float32[N,4])\n @w: float32[4,4] parameter\n %a = linear(%x, @w)\n %b = relu(%a)\n return %b")
    graph.notes = ["kept"]
    before = to_text(graph)
    twin = graph.copy()
    twin.replace(twin.value("b"), twin.value("a"))
    twin.eliminate_dead()
    twin.add(ops.Gelu(), twin.value("x"))
    twin.inputs[0].type = TensorType(torch.float32, (N, 9))
    twin.state.clear()
    twin.notes.append("changed")
    assert to_text(graph) == before and graph.notes == ["kept"]
    verify(graph)


def test_names_stay_reserved_in_a_copy() -> None:
    graph = parse("graph g(%x: float32[N,4])\n %a = relu(%x)\n return %a")
    twin = graph.copy()
    assert twin.add(ops.Relu(), twin.value("a"), name="a").name == "a_1"


def test_history_and_transient_names_are_copied() -> None:
    graph = parse("graph g(%x: float32[N,4])\n @m: float32[4] transient\n %a = add(%x, @m)\n return %a")
    graph.history = (StepRecord("prune", {"ratio": 0.5}),)
    for twin in (graph.copy(), pickle.loads(pickle.dumps(graph))):
        assert twin.history == graph.history and twin.transient == {"m"}


def test_a_graph_of_thousands_of_nodes_is_copied() -> None:
    graph = Graph("deep")
    x = graph.add_input("x", TensorType(torch.float32, (N, 2)))
    for _ in range(3000):
        x = graph.add(ops.Relu(), x)
    graph.outputs = [x]
    assert len(copy.deepcopy(graph).nodes) == len(pickle.loads(pickle.dumps(graph)).nodes) == 3000


def test_tensors_may_be_changed_on_the_way() -> None:
    graph = parse("graph g(%x: float32[N,4])\n @m: float32[4] = [1, 2, 3, 4]\n %a = add(%x, @m)\n return %a")
    assert clone(graph, lambda t: t * 2).value("m").tensor.tolist() == [2.0, 4.0, 6.0, 8.0]
    assert graph.value("m").tensor.tolist() == [1.0, 2.0, 3.0, 4.0]
