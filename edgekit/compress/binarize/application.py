"""What the step ``binarize`` does: layers chosen, trained with latent weights, and left with signs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from edgekit.compress.binarize.absorbing import absorb, with_latents
from edgekit.compress.binarize.attaching import Attachment
from edgekit.compress.binarize.choosing import choose
from edgekit.compress.binarize.latents import Latents
from edgekit.compress.binarize.step import TRAINING, Binarize
from edgekit.compress.context import Context
from edgekit.compress.prune.reestimate import reestimate
from edgekit.compress.qat.calibration import calibration_batches
from edgekit.compress.recording import recorded
from edgekit.compress.scoring import score
from edgekit.compress.sparsify.held import held
from edgekit.compress.tuning import tune
from edgekit.data import Data
from edgekit.errors import UsageError
from edgekit.ir import Graph, Node, ops
from edgekit.train.masks import Masks, WeightRule

#: Samples on which batch norms are measured again.
_STATISTICS = 4096

_NO_NORM = (
    "no batch norm stands behind the binary layer '{0}', whose sums are some sqrt(inputs) times as large as before: add one to "
    "the model, or set scaled = true"
)


def binarize(step: Binarize, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Binarize.apply``. The order of the lines is the order of the work."""
    started = time.perf_counter()
    if context.source is None:
        context = replace(context, source=graph)
    evaluate = data.evaluate if isinstance(data, Data) else None
    student = graph.copy()
    layers, declined = choose(student, step.layers, step.keep)
    names = [layer.input(1).name for layer in layers]
    warnings = [_NO_NORM.format(layer.input(1).name) for layer in layers if not step.has_scales and not _is_normed(layer)]
    dead = held(graph)
    if zeros := [name for name in names if name in dead]:
        raise UsageError(
            f"'{zeros[0]}' holds zeros of an earlier step, and a binary weight is +1 or -1",
            where=graph.name,
            hint="name it in 'keep', or leave out the step that made it sparse",
        )
    attached = Attachment(student, step, layers)
    student.verify()
    settings = replace(step.training or TRAINING, epochs=step.epochs)
    pace = "" if not step.glorot else "square" if settings.optimizer == "sgd" else "linear"

    def rule(trained: Graph) -> WeightRule:
        return Latents(trained, attached.latents, attached.norms, pace, Masks(trained, dead))

    tuned = tune(student, data, settings, step.distillation, context, rule=rule)
    trained = absorb(tuned.trained.graph)
    trained.verify()
    details: dict[str, Any] = {**tuned.details(), "binary": _counts(trained, names)}
    if step.stochastic:
        real = with_latents(tuned.trained.graph)
        if step.epochs:  # statistics of sums of drawn weights are not those of the signs, nor of the real weights
            batches = calibration_batches(trained, data, _STATISTICS, context.root)
            reestimate(real, batches)
            details["batch_norms_reestimated"] = reestimate(trained, batches)
        details["real_weights"] = score(real, evaluate, context.root)
    found = (*warnings, *tuned.warnings)
    return recorded(
        "binarize", step, graph, trained, started, details=details, warnings=found, notes=tuned.notes, declined=declined
    )


def _is_normed(layer: Node) -> bool:
    """A batch norm reads the layer, at first hand or behind a pool."""
    readers = layer.output.users
    while len(readers) == 1 and isinstance(readers[0].op, ops.MaxPool1d | ops.MaxPool2d | ops.Identity | ops.Dropout):
        readers = readers[0].output.users
    return any(isinstance(node.op, ops.BatchNorm | ops.LayerNorm | ops.GroupNorm) for node in readers)


def _counts(graph: Graph, names: list[str]) -> dict[str, list[int]]:
    """By weight: how many are +1, and how many there are."""
    return {name: [int((graph.state[name].tensor > 0).sum()), graph.state[name].tensor.numel()] for name in names}
