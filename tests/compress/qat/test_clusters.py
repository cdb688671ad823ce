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
