"""Heads on a network that stays as it is.

What heads read of the training samples is computed once, and the heads are trained on that: means where they begin with
pooling, the values themselves before a convolution. Where that is more than memory should hold, and where samples are
augmented, the frozen network runs in every step, as far as the last exit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from edgekit.compress.context import Context
from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.heads import classifier, deepened, pooled, prefix_for
from edgekit.compress.early_exit.hints import Hint, hinted, read_by_last_layer
from edgekit.compress.early_exit.objective import ExitLoss, no_classes
from edgekit.compress.early_exit.observing import values_of
from edgekit.compress.early_exit.step import EarlyExit
from edgekit.ir import Graph, Value, ops
from edgekit.ir.types import N, TensorType
from edgekit.train.batches import Feeding, Samples
from edgekit.train.loop import train
from edgekit.train.stacked import Stacked
from edgekit.train.trained import Trained

#: Bytes of what heads read of all training samples, above which they are not kept in memory.
_MOST_KEPT = 1 << 30


def attach(
    graph: Graph, places: Sequence[Value], classes: int, heads: Sequence[Head], seed: int, source: Graph | None = None
) -> list[Value]:
    """Puts new heads at places of a graph; their logits. Parameters are called ``exits.0.weight`` and so on (`prefix_for`).

    Args:
        graph: gets the heads.
        places: values in it.
        classes: of the logits.
        heads: one for each place.
        seed: of their weights.
        source: the network whose layers heads copy; the graph itself by default.
    """
    generator = torch.Generator().manual_seed(seed)
    prefix = prefix_for(source or graph)
    found = []
    for number, (value, head) in enumerate(zip(places, heads, strict=True)):
        name = f"{prefix}.{number}"
        features = pooled(graph, deepened(graph, value, head, name, source or graph, generator), head, name)
        found.append(classifier(graph, features, classes, name, generator))
    return found


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
    kept = _is_kept(step, own, values, places, samples.count)
    standards: list[tuple[Tensor, Tensor]] = []
    if kept:
        heads, source, standards, hints = _on_features(step, own, graph, places, end, classes, samples, feeding)
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


def _is_kept(step: EarlyExit, own: Sequence[Head], values: dict[str, Value], places: Sequence[str], samples: int) -> bool:
    read = zip((values[name] for name in places), own, strict=True)
    numbers = sum(v.type.numel() if head.convolves else v.tensor_shape[1] * head.pool**2 for v, head in read)
    return step.settings().augment == "none" and 4 * numbers * samples <= _MOST_KEPT


def _on_features(
    step: EarlyExit,
    own: Sequence[Head],
    graph: Graph,
    places: Sequence[str],
    end: str,
    classes: int,
    samples: Samples,
    feeding: Feeding,
) -> tuple[Graph, object, list[tuple[Tensor, Tensor]], tuple[Hint, ...]]:
    """A graph of the heads alone, and what they read of every training sample, standardised; by what mean and scale; hints.

    What the network says of the samples stands behind that: the features of its last layer for hints, then its answers.
    """
    whole = graph.copy()
    values = {value.name: value for value in whole.values()}
    _refuse_unreadable(step, own, graph, places, classes)
    features = [
        values[name] if head.convolves else pooled(whole, values[name], head, f"exits.{number}")
        for number, (name, head) in enumerate(zip(places, own, strict=True))
    ]
    told = [read_by_last_layer(values[end])] if any(head.hint for head in own) else []
    told += [values[end]] if step.self_distillation else []
    read, targets = values_of(whole, [*features, *told], samples.batches(0), feeding)
    if not targets:
        raise no_classes(None)
    standards = [_standard(x, head) for x, head in zip(read, own, strict=False)]
    for x, (mean, scale) in zip(read, standards, strict=False):
        around = [1] * (x.dim() - 2)
        x.sub_(mean.reshape(1, -1, *around)).div_(scale.reshape(1, -1, *around))
    heads, prefix = Graph("exits"), prefix_for(graph)
    generator = torch.Generator().manual_seed(step.settings().seed)
    inputs = [heads.add_input(f"x{number}", TensorType(x.dtype, (N, *x.shape[1:]))) for number, x in enumerate(read)]
    for number, (value, head) in enumerate(zip(inputs, own, strict=False)):
        name = f"{prefix}.{number}"
        if head.convolves:
            value = pooled(heads, deepened(heads, value, head, name, graph, generator), head, name)
        heads.outputs.append(classifier(heads, value, classes, name, generator))
    hints = hinted(own, heads.outputs, values[end])
    return heads, (tuple(x.numpy() for x in read), torch.cat(targets).numpy()), standards, hints


def _refuse_unreadable(step: EarlyExit, own: Sequence[Head], graph: Graph, places: Sequence[str], classes: int) -> None:
    """Raises what attaching the heads to the network would: a graph of heads alone does not know what sequences hold."""
    scratch = graph.copy()
    values = {value.name: value for value in scratch.values()}
    attach(scratch, [values[name] for name in places], classes, own, step.settings().seed)


def _standard(x: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Mean and scale of features (samples, features) or channels, which the trained layer takes into its weights.

    What hardly varies counts as a tenth of the mean deviation, so that no weight explodes. A convolution meets zeros at its
    edges, so what it reads keeps its mean. Copied layers read what they are used to, and stages have norms of their own.
    """
    if not head.standardises:
        return torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    over = [0, *range(2, x.dim())]
    deviations = x.std(over)
    mean = torch.zeros_like(deviations) if head.channels else x.mean(over)
    return mean, deviations.clamp_min(max(0.1 * float(deviations.mean()), 1e-6))


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
