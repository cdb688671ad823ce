"""Heads on a network that stays as it is.

They are trained on what they read of the training samples (`features`). Where that is more than memory should hold, and where
samples are augmented anew in every step, the frozen network runs in every step, as far as the last exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from edgekit.compress.context import Context
from edgekit.compress.early_exit.features import are_kept, on_features
from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.heads import attach, prefix_for
from edgekit.compress.early_exit.hints import Hint, hinted, read_by_last_layer
from edgekit.compress.early_exit.objective import ExitLoss
from edgekit.compress.early_exit.step import EarlyExit
from edgekit.ir import Graph, ops
from edgekit.train.batches import Feeding, Samples
from edgekit.train.loop import train
from edgekit.train.stacked import Stacked
from edgekit.train.trained import Trained


def train_heads(
    step: EarlyExit,
    graph: Graph,
    places: Sequence[str],
    own: Sequence[Head],
    end: str,
    samples: Samples,
    feeding: Feeding,
    data: object,
    context: Context,
) -> tuple[dict[str, Tensor], Trained]:
    """The trained parameters of heads at places of a graph, by name, and the training.

    Args:
        step: says how.
        graph: the network, without exits; is left as it is.
        places: names of values.
        own: the head of each.
        end: name of the network's logits.
        samples: the training data, opened for ``graph``.
        feeding: of them.
        data: the same, unopened.
        context: of the recipe.
    """
    values = {value.name: value for value in graph.values()}
    classes = int(values[end].tensor_shape[1])
    settings = replace(step.settings(), validation=0.0, patience=0)
    kept = are_kept(step, own, [values[name] for name in places], samples.count)
    standards: list[tuple[Tensor, Tensor]] = []
    if kept:
        heads, source, standards, hints = on_features(step, own, graph, places, end, samples, feeding)
        settings = replace(settings, augment="none")
    else:
        (heads, hints), source = _on_network(step, own, graph, places, end, classes), data
        if isinstance(samples, Stacked):
            source = _chosen(samples)
        else:
            settings = replace(settings, validation=step.settings().validation)  # holds out what thresholds are chosen on
    objective = ExitLoss(
        tuple(range(len(places))),
        (1.0,) * len(places),
        step.self_distillation,
        step.temperature,
        None if kept else len(places),
        settings.label_smoothing,
        hints,
        len(places) if kept else read_by_last_layer(values[end]).name if hints else "",
    )
    trained = train(heads, source, settings, objective, folder=context.folder, say=context.say, root=context.root)
    prefix = prefix_for(graph)
    of_heads = [(name, value) for name, value in trained.graph.state.items() if name.startswith(f"{prefix}.")]
    parameters = {name: value.tensor.detach() for name, value in of_heads}
    for number, (mean, scale) in enumerate(standards):
        if not own[number].standardises:
            continue
        if own[number].channels:
            convolution = parameters[f"{prefix}.{number}.conv.weight"]
            parameters[f"{prefix}.{number}.conv.weight"] = convolution / scale.reshape(1, -1, *[1] * (convolution.dim() - 2))
            continue
        weight = parameters[f"{prefix}.{number}.weight"] / scale
        parameters[f"{prefix}.{number}.weight"] = weight
        parameters[f"{prefix}.{number}.bias"] = parameters[f"{prefix}.{number}.bias"] - weight @ mean
    return parameters, trained


def _chosen(samples: Stacked) -> object:
    """The training data without what is held out."""
    inputs = tuple(x[samples.chosen].numpy() for x in samples.inputs)
    return (inputs, samples.targets[0][samples.chosen].numpy()) if samples.targets else inputs


def _on_network(
    step: EarlyExit, own: Sequence[Head], graph: Graph, places: Sequence[str], end: str, classes: int
) -> tuple[Graph, tuple[Hint, ...]]:
    """The network with heads, in which nothing but the heads can change; its answer is the last output. And hints."""
    whole = graph.copy()
    for value in whole.values():
        if isinstance(value.data, nn.Parameter):
            value.data = value.data.detach()
    for node in whole.nodes:
        if isinstance(node.op, ops.BatchNorm):
            whole.set_op(node, node.op.with_(frozen=True))
        elif isinstance(node.op, ops.Dropout):
            whole.set_op(node, node.op.with_(p=0.0))
        elif getattr(node.op, "dropout", 0.0):
            whole.set_op(node, node.op.with_(dropout=0.0))
    values = {value.name: value for value in whole.values()}
    whole.outputs = attach(whole, [values[name] for name in places], classes, own, step.settings().seed, graph)
    whole.signature = None
    hints = hinted(own, whole.outputs, values[end])
    if step.self_distillation or hints:
        whole.outputs = [*whole.outputs, values[end]]
    whole.eliminate_dead()
    return whole, hints
