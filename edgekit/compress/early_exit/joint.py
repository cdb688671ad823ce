"""The network and its exits trained together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgekit.compress.context import Context
from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.heads import attach
from edgekit.compress.early_exit.hints import hinted, read_by_last_layer
from edgekit.compress.early_exit.objective import ExitLoss
from edgekit.compress.early_exit.step import EarlyExit
from edgekit.compress.sparsify.held import held
from edgekit.ir import Graph
from edgekit.train.loop import train
from edgekit.train.trained import Trained


def train_together(
    step: EarlyExit,
    own: Sequence[Head],
    weights: tuple[float, ...],
    graph: Graph,
    places: Sequence[str],
    end: str,
    data: object,
    context: Context,
) -> tuple[Graph, Trained]:
    """A copy of the network, trained, with the heads at its places; its outputs are as they were.

    The loss is the weighted sum of all exits'; the epoch is kept whose last exit is best on what is held out. What an earlier
    step made zero stays zero. Arguments as in ``train_heads``, and the weight of each exit's loss, the last one's at the end.
    """
    whole = graph.copy()
    values = {value.name: value for value in whole.values()}
    outputs = [value.name for value in whole.outputs]
    exits = attach(whole, [values[name] for name in places], int(values[end].tensor_shape[1]), own, step.settings().seed)
    whole.outputs, signature, whole.signature = [values[end], *exits], whole.signature, None
    hints = hinted(own, exits, values[end])
    objective = ExitLoss(
        (*range(1, len(weights)), 0),
        weights,
        step.self_distillation,
        step.temperature,
        0,
        step.settings().label_smoothing,
        hints,
        read_by_last_layer(values[end]).name if hints else "",
    )
    settings = replace(step.settings(), label_smoothing=0.0)
    trained = train(
        whole, data, settings, objective, folder=context.folder, say=context.say, root=context.root, alive=held(graph)
    )
    result = trained.graph
    by_name = {value.name: value for value in result.values()}
    result.outputs, result.signature = [by_name[name] for name in outputs], signature
    return result, trained
