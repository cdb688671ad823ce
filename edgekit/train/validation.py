"""A graph on the part of the training data that a training holds out, as the loop measures it."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from edgekit.ir import Graph
from edgekit.train.samples import open_samples
from edgekit.train.settings import Training
from edgekit.train.student import Student, hits
from edgekit.train.task_loss import task_loss


def held_out(graph: Graph, data: object, settings: Training, root: Path | None = None) -> tuple[float | None, float] | None:
    """How good a graph is on the part held out; larger is better.

    Args:
        graph: float; is left as it is.
        data: that it would be trained with.
        settings: say which part that is, and the loss.
        root: folder that callables are imported from.

    Returns:
        Top-1 (None where labels are no classes) and the negative loss; None where nothing labelled is held out.
    """
    samples, feeding = open_samples(data, graph, settings, root)
    judge = Student(graph, task_loss(graph, settings, root), feeding).eval()
    loss, right, count = 0.0, 0.0, 0
    classes = True
    with torch.no_grad():
        for batch in samples.validation():
            if not batch.targets:
                return None
            terms, output = judge(batch, 0)
            found = hits(output, batch.targets)
            loss += float(sum(terms.values(), torch.zeros(()))) * batch.size
            classes &= found is not None
            right += 0.0 if found is None else float(found)
            count += batch.size
    if not count:
        return None
    return right / count if classes else None, -loss / count if math.isfinite(loss) else -math.inf
