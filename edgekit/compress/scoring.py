"""The user's metric of a graph, between steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgekit.data.metrics import Labelled, Predict, measure, read_once
from edgekit.data.metrics import score as score_of
from edgekit.errors import Unsupported
from edgekit.ir import Graph
from edgekit.train.batches import Batch, Feeding
from edgekit.train.task_loss import batch_axis

_AT_ONCE = 128


def require_scorable(graph: Graph, evaluate: object | None, root: Path | None = None) -> None:
    """Raises what `score` would of data that does not fit, after one sample: before a training, not behind it.

    Raises:
        InputError: the data does not fit.
    """
    if evaluate is None:
        return
    try:
        feeding = Feeding.of(graph)
    except Unsupported:
        return
    data = read_once(evaluate, feeding.specs, root=root)
    if isinstance(data, Labelled) and len(data.labels):
        one = _predictor(graph, feeding)([x[:1] for x in data.inputs])
        score_of(np.broadcast_to(one, (len(data.labels), *one.shape[1:])), data.labels, where=data.where)


def score(graph: Graph, evaluate: object | None, root: Path | None = None) -> dict[str, float]:
    """The metrics of a graph in evaluation mode.

    None where there is nothing to evaluate with, and none of a graph with an input that is not one row a sample: such a one
    can't be trained either, and the build measures it in the end.

    Args:
        graph: float, or with fake quantisation.
        evaluate: labelled data, or a callable ``predict -> {metric: value}``, as ``edgekit.Data.evaluate`` is.
        root: folder that callables are imported from.

    Raises:
        InputError: the data does not fit.
    """
    if evaluate is None:
        return {}
    try:
        feeding = Feeding.of(graph)
    except Unsupported:
        return {}
    predict = _predictor(graph, feeding)

    def users(x: Any) -> np.ndarray[Any, Any]:
        return predict([np.asarray(a) for a in x] if isinstance(x, tuple) else [np.asarray(x)])

    return measure(predict, evaluate, feeding.specs, user_predict=users, root=root)


def _predictor(graph: Graph, feeding: Feeding) -> Predict:
    """Stacked samples in, the first output of all of them out."""
    module = graph.module().eval()
    axis, size = batch_axis(graph.outputs[0]), feeding.fixed or _AT_ONCE

    def predict(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        count, results = len(arrays[0]), []
        for start in range(0, count, size):
            stop = start + size if feeding.fixed else min(start + size, count)
            picked = np.arange(start, stop).clip(max=count - 1)  # a fixed batch is filled up with the last sample
            tensors = [torch.from_numpy(np.ascontiguousarray(array[picked])) for array in arrays]
            with torch.no_grad():
                output = module.run(feeding.inputs(Batch(tensors, [])))[0]
            results.append(output.movedim(axis, 0).float().numpy() if output.dim() else output.float().numpy()[None])
        return np.concatenate(results)[:count]

    return predict
