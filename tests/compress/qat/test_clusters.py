"""Clusters of an earlier step stay clusters in training, and become one integer each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import edgekit as ek
from edgekit.ir import Graph
from edgekit.ir.quantized_data import quantize_constant
from tests.train.networks import blobs, digits

torch.set_num_threads(1)
TRAINING = ek.Training(optimizer="sgd", lr=0.01, batch_size=32, validation=0.0)


def integers(graph: Graph, name: str) -> np.ndarray:  # type: ignore[type-arg]
    value = graph.state[name]
    assert value.quant is not None
    return quantize_constant(value.tensor.detach(), value.quant).numpy()


def test_pruned_clustered_and_trained_in_integers_it_has_few_of_them_and_zeros_stay() -> None:
    data = ek.Data(train=blobs(), evaluate=blobs(seed=1))
    steps = [
        ek.FineTune(epochs=6, batch_size=16, lr=0.02),
        ek.Sparsify(sparsity=0.5, epochs=1, training=TRAINING),
        ek.Cluster(bits=3, grid="int8", epochs=1),
        ek.QAT(epochs=2, training=TRAINING),
    ]
    result = ek.Recipe(steps).apply(digits(), data)
    clustered = result.history[-2].details["codebooks"]
    for name in ("conv.weight", "head.weight"):
        found = integers(result, name)
        assert len(np.unique(found[found != 0])) <= clustered[name]["values"] <= 9
        assert np.mean(found == 0) >= 0.5
    before, after = (record.metrics["top1"][1] for record in (result.history[0], result.history[-1]))
    assert after >= before - 0.05


@pytest.mark.parametrize(("grid", "weights"), [("float", "int8"), ("int8", "int4")])
def test_clusters_that_integers_can_not_keep_are_named(grid: str, weights: str) -> None:
    clustered = ek.Cluster(bits=3, grid=grid).apply(digits())
    result = ek.QAT(epochs=0, weights=weights, edges=False).apply(clustered, ek.Data(train=blobs()))
    assert "clusters of conv.weight, head.weight are not kept" in result.history[-1].warnings[0]


@pytest.mark.parametrize("digits_of_a_scale", [6, 11])
def test_every_channel_keeps_a_scale_of_few_digits_and_its_largest_weight_at_127(digits_of_a_scale: int) -> None:
    step = ek.Cluster(bits=3, grid="int8", significant=digits_of_a_scale, epochs=1, training=TRAINING)
    graph, data = digits(), ek.Data(train=blobs())
    result = ek.QAT(epochs=2, training=TRAINING).apply(step.apply(graph, data), data)
    for name in ("conv.weight", "head.weight"):
        quant, found = result.state[name].quant, integers(result, name)
        assert quant is not None and len(quant.scale) == len(found)
        fractions = np.frexp(np.array(quant.scale))[0] * 2.0**digits_of_a_scale
        assert np.array_equal(fractions, np.rint(fractions))
        assert np.array_equal(np.abs(found).reshape(len(found), -1).max(1), np.full(len(found), 127))
        largest = graph.state[name].tensor.detach().abs().reshape(len(found), -1).amax(1).numpy()
        np.testing.assert_allclose(np.array(quant.scale) * 127, largest, rtol=2.0**-digits_of_a_scale)
