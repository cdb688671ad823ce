"""A graph with early exits cut into stages computes what the whole one does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.errors import Unsupported
from edgekit.export.staged.graphs import stage_graphs
from edgekit.frontend.source import load
from edgekit.ir import Graph, ops, simulate
from tests.exits import choice, network, quantized, samples


def run_in_stages(graph: Graph, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """Outputs of the network by name, one dict a stage, all stages run."""
    tensors, told = {"x": x}, []
    for stage in stage_graphs(graph):
        given = [tensors[value.name] for value in stage.graph.inputs]
        with torch.no_grad():
            results = stage.graph.module().eval().run(given)
        tensors.update({value.name: result for value, result in zip(stage.graph.outputs, results, strict=True)})
        told.append({name: tensors[tensor] for name, tensor in stage.answers.items()})
    return told


def test_every_stage_answers_as_its_exit_does_and_the_costs_add_up() -> None:
    graph, x = network(), samples(20)
    stages = stage_graphs(graph)
    told = run_in_stages(graph, x)
    whole = graph.copy()
    whole.outputs = [value for value in choice(whole).inputs if value is not None]
    with torch.no_grad():
        exits = whole.module().eval().run([x])
    assert [stage.handed_on for stage in stages] == [("relu",), ("relu_1",), ()]
    for found, wanted in zip(told, exits, strict=True):
        assert torch.equal(found["answer"], wanted)
    assert sum(stage.macs for stage in stages) == graph.macs


def test_seams_of_an_integer_network_have_one_scale_on_both_sides_and_stages_compute_its_integers() -> None:
    graph, x = quantized(network()), samples(20)
    tensors, stages = {"x": x}, stage_graphs(graph)
    known = {}
    for index, stage in enumerate(stages):
        for value in stage.graph.inputs:
            if index:
                assert value.quant == known[value.name] and value.quant is not None
        given = [tensors[value.name] for value in stage.graph.inputs]
        results = simulate(stage.graph, *given)
        results = results if isinstance(results, tuple | list) else (results,)
        for value, result in zip(stage.graph.outputs, results, strict=True):
            tensors[value.name], known[value.name] = result, value.quant
        alone = graph.copy()
        alone.outputs = [choice(alone).input(index)]
        alone.eliminate_dead()
        assert torch.equal(tensors[stage.logits], simulate(alone, x))


def test_what_reads_the_answer_stands_in_every_stage_and_other_outputs_in_the_first() -> None:
    graph = network()
    answer = graph.outputs[0]
    shown = graph.add(ops.Softmax(1), answer, name="probabilities")
    first = choice(graph).input(0).producer
    assert first is not None
    graph.outputs = [shown, first.input(0)]
    stages = stage_graphs(graph)
    assert [set(stage.answers) for stage in stages] == [
        {"probabilities", graph.outputs[1].name},
        {"probabilities"},
        {"probabilities"},
    ]
    for stage in stages:
        assert stage.logits in [value.name for value in stage.graph.outputs]
    told = run_in_stages(graph, samples(5))
    for found in told:
        torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(5))


def test_a_network_without_exits_has_no_stages() -> None:
    graph = load(nn.Linear(4, 3), example_inputs=(torch.zeros(2, 4),))
    with pytest.raises(Unsupported, match="early exits"):
        stage_graphs(graph)
