"""All exact passes together, on random networks: the same outputs, names and places, and little time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch

from edgekit.ir import Graph, Node, TensorType, Value, Where, ops
from edgekit.ir.graph import infer_types
from edgekit.ir.text import parse, to_text
from edgekit.ir.verify import verify
from edgekit.passes import DECOMPOSE, EXACT, Pass, PassRecord, Rewrite, Skip, run_passes
from edgekit.passes.decompose_activations import DECOMPOSE_FOR_INTEGERS
from tests.effort import calls
from tests.passes.random_networks import network
from tests.rewrites import assert_same_outputs
from tests.seeds import seeds


@pytest.mark.parametrize("seed", seeds(60, always=20))
def test_the_exact_passes_keep_the_function_of_random_networks(seed: int) -> None:
    before = network(seed)
    text, data = to_text(before), {v.name: v.tensor.detach().clone() for v in before.constants()}
    after, records = run_passes(before, EXACT)
    verify(after)
    assert to_text(before) == text
    assert all(torch.equal(v.tensor.detach(), data[v.name]) for v in before.constants())
    assert [v.name for v in after.outputs] == [v.name for v in before.outputs]
    assert [v.name for v in after.inputs] == ["x"]
    assert not any(isinstance(n.op, ops.BatchNorm | ops.Dropout | ops.Identity) for n in after.nodes)
    assert len(after.nodes) <= len(before.nodes) + sum(r.rewrites for r in records if r.name == "lower_batch_norm")
    for name, value in after.state.items():
        assert value.name in before.state or value.name.endswith("bias"), f"{name} is new"
        if value.name in before.state:
            assert value.is_trainable == before.state[value.name].is_trainable
    for batch in (1, 2, 5):
        assert_same_outputs(before, after, batch=batch, tolerance=2e-5)


@pytest.mark.parametrize("seed", seeds(12, always=6))
def test_every_pass_alone_keeps_the_function_too(seed: int) -> None:
    before = network(seed, steps=20)
    for step in (*EXACT, *DECOMPOSE, *DECOMPOSE_FOR_INTEGERS):
        after, _ = step.run(before)
        verify(after)
        assert_same_outputs(before, after, batch=3, tolerance=2e-5)


@pytest.mark.parametrize("seed", seeds(12, always=6))
def test_a_second_run_finds_nothing_more(seed: int) -> None:
    once, _ = run_passes(network(seed), EXACT)
    twice, records = run_passes(once, EXACT)
    assert {r.name: r.rewrites for r in records if r.rewrites} == {}
    assert to_text(twice) == to_text(once)


@pytest.mark.parametrize("seed", range(6))
def test_what_remains_says_where_it_comes_from(seed: int) -> None:
    before = network(seed)
    after, _ = run_passes(before, EXACT)
    known = {w for n in before.nodes for w in n.where}
    for node in after.nodes:
        assert node.where and set(node.where) <= known


@dataclass(frozen=True)
class Retype(Pass):
    """A wrong pass: it declares another shape than the op computes."""

    def apply(self, graph: Graph) -> PassRecord:
        value = graph.nodes[1].output
        value.type = TensorType(value.type.dtype, (*value.type.shape[:-1], 7))
        return PassRecord(self.name, 1)


@dataclass(frozen=True)
class Disconnect(Pass):
    """A wrong pass: it takes out a node that is still read."""

    def apply(self, graph: Graph) -> PassRecord:
        del graph.nodes[0]
        return PassRecord(self.name, 1)


@pytest.mark.parametrize(("wrong", "message"), [(Retype(), "is declared float32"), (Disconnect(), "before it is computed")])
def test_a_wrong_pass_is_caught_where_it_ends(wrong: Pass, message: str) -> None:
    graph = parse("graph g(%x: float32[N,3,4])\n%a = relu(%x)\n%b = sigmoid(%a)\n%c = tanh(%b)\nreturn %c")
    with pytest.raises(AssertionError, match=message):
        run_passes(graph, (*EXACT, wrong))


def test_only_nodes_that_a_pass_touched_are_inferred_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = parse(
        "graph g(%x: float32[N,1,4])\n%a = relu(%x)\n%b = permute(%a, dims=(0, 2, 1))\n%c = tanh(%b)\n%d = neg(%c)\nreturn %d"
    )
    inferred: list[str] = []

    def note(op: ops.Op, inputs: Sequence[Value | None], where: Sequence[Where]) -> tuple[TensorType, ...]:
        inferred.append(op.name)
        return infer_types(op, inputs, where)

    monkeypatch.setattr("edgekit.ir.verify.infer_types", note)
    _, records = run_passes(graph, EXACT)
    assert [r.name for r in records if r.rewrites] == ["merge_shapes"]
    assert inferred == ["reshape"]


@dataclass(frozen=True)
class DeclineEverything(Rewrite):
    def match(self, graph: Graph, node: Node) -> bool:
        return True

    def rewrite(self, graph: Graph, node: Node) -> None:
        raise Skip(f"it is a {node.op.name}")


def test_a_record_says_what_was_declined_where_and_why() -> None:
    graph = network(3)
    _, (record,) = run_passes(graph, [DeclineEverything()])
    assert record.name == "decline_everything" and record.rewrites == 0
    assert [(s.value, s.reason, s.where) for s in record.skipped] == [
        (n.name, f"it is a {n.op.name}", n.where) for n in graph.nodes
    ]


def test_the_cost_of_the_passes_grows_with_the_nodes() -> None:
    short, long = network(0, steps=75), network(0, steps=300)
    assert len(long.nodes) > 3.5 * len(short.nodes) > 350
    run_passes(short, EXACT)  # what is imported and cached once
    few, many = calls_per_node(short), calls_per_node(long)
    assert few < 1500 and many < 1.5 * few


def calls_per_node(graph: Graph) -> float:
    return calls(lambda: run_passes(graph, EXACT)) / len(graph.nodes)
