"""Rewrites as steps of a recipe: recorded like the others, and trained afterwards."""

from __future__ import annotations

import torch

import edgekit as ek
from edgekit.frontend.source import load
from tests.trained import Cnn, digits

torch.set_num_threads(1)


def test_a_recipe_rewrites_prunes_and_trains() -> None:
    x, y, x_test, y_test = digits()
    torch.manual_seed(0)
    graph = load(Cnn().eval(), (torch.zeros(1, 1, 8, 8),))
    recipe = ek.Recipe(
        [
            ek.FineTune(epochs=4, lr=0.01, batch_size=32),
            ek.Separable(multiplier=1, layers=("down",), between="bn_relu", refit=True),
            ek.LowRank(error=0.4, keep=("stem", "down"), refit=True),
            ek.Prune(ratio=0.2, criterion="l1"),
            ek.FineTune(epochs=3, lr=0.01, batch_size=32),
        ]
    )
    small = recipe.apply(graph, data=ek.Data(train=(x[:600], y[:600]), evaluate=(x_test[:200], y_test[:200])))
    assert [record.step for record in small.history] == ["fine_tune", "separable", "low_rank", "prune", "fine_tune"]
    assert small.macs < 0.7 * graph.macs and "down.0.depthwise.weight" in small.state
    (before, after) = small.history[1].metrics["top1"]
    assert before is not None and min(before, after) > 0.3  # a rectifier between costs at once
    assert small.history[-1].metrics["top1"][1] > 0.8, [record.metrics for record in small.history]
