"""The precision of every layer, where the user leaves it to a budget or to the metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.compress.mixed_precision.application import Score, choose, fall_back
from edgekit.compress.mixed_precision.choice import Mixed
from edgekit.compress.mixed_precision.mixer import Mixer
from edgekit.compress.quantize.policy import Policy
from edgekit.compress.quantize.post_training import PostTraining
from edgekit.config import InputSettings, QuantizationSettings
from edgekit.data.metrics import Labelled, measure
from edgekit.errors import InputError
from edgekit.ir import Graph
from edgekit.precision import PrecisionPlan
from edgekit.stages.evaluate import arranged
from edgekit.stages.inputs import input_specs, to_graph_layout
from edgekit.stages.preprocessing import Prepared
from edgekit.stages.verify import run_graph

Array = np.ndarray[Any, Any]

#: Labelled samples on which plans are compared, at most.
LABELLED = 1000


def chosen(
    graph: Graph,
    samples: Sequence[list[torch.Tensor]],
    policy: Policy,
    options: PostTraining,
    settings: QuantizationSettings,
    plan: PrecisionPlan,
    score: Score | None,
) -> Mixed | None:
    """The plan that the settings ask for; None where they leave nothing to choose.

    While choosing, weights are rounded to the nearest.

    Raises:
        UsageError: a drop is asked for without a metric.
        OverBudget: nothing that is allowed keeps the budget.
    """
    if settings.budget is None and settings.fallback is None:
        return None
    plain = replace(options, rounding="nearest")
    mixer = Mixer(graph, samples, policy, plain, settings.allow_slower, plan)
    if settings.budget is not None:
        return choose(mixer, settings.budget, score)
    assert settings.fallback is not None
    return fall_back(mixer, settings.fallback, score)


def score_of(
    evaluation: object | None, prepared: Prepared, source: Graph, settings: Mapping[str, InputSettings], root: Path | None
) -> Score | None:
    """Top-1 in percentage points of a graph that takes what ``prepared`` gives; None without labelled data.

    A user's callable counts by its first metric, which is taken as a share.

    Raises:
        InputError: labels that are no classes: what a drop in points is, is not known.
    """
    if evaluation is None:
        return None
    what = evaluation
    if isinstance(what, Labelled):
        what = replace(what, inputs=[x[:LABELLED] for x in what.inputs], labels=what.labels[:LABELLED])
        if what.labels.dtype.kind == "f":
            raise InputError(
                "'max_drop' is in percentage points of top-1, these labels are numbers",
                where=what.where,
                hint="a budget of bytes or of min_sqnr_db; or a callable predict -> {metric: share}",
            )

    def score(graph: Graph) -> float:
        def run(x: Sequence[Array]) -> list[Array]:
            return run_graph(graph, prepared.taken(to_graph_layout(x, source, settings))).arrays

        def user(x: object) -> object:
            arrays = run(arranged(x, [value.name for value in source.inputs]))
            return arrays[0] if len(arrays) == 1 else tuple(arrays)

        found = measure(lambda x: run(x)[0], what, input_specs(source, settings), user_predict=user, root=root)
        return 100.0 * next(iter(found.values()))

    return score
