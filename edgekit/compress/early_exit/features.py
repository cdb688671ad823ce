"""What heads read of the training samples, computed once: means where they begin with pooling, else the values themselves.

Of augmented samples these are the features of a fixed number of altered versions (``views``): a step then costs what the heads
cost, not what the network does. Values that are kept of views are float16: half the memory, and more digits than matter here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from edgekit.compress.early_exit.head import Head
from edgekit.compress.early_exit.heads import attach, classifier, deepened, pooled, prefix_for, taken
from edgekit.compress.early_exit.hints import Hint, hinted, read_by_last_layer
from edgekit.compress.early_exit.layout import features_axis
from edgekit.compress.early_exit.objective import no_classes
from edgekit.compress.early_exit.observing import values_of
from edgekit.compress.early_exit.step import EarlyExit
from edgekit.errors import UsageError
from edgekit.ir import Graph, Value, ops
from edgekit.ir.types import N, TensorType, dtype_name
from edgekit.train.batches import Feeding, Samples

#: Bytes of what heads read of all training samples, above which they are not kept in memory; and of their views.
_MOST_KEPT, _MOST_OF_VIEWS = 1 << 30, 4 << 30


def are_kept(step: EarlyExit, own: Sequence[Head], places: Sequence[Value], samples: int) -> bool:
    """Whether heads are trained on features that are computed once.

    Raises:
        UsageError: views that take too much memory.
    """
    read = list(zip(places, own, strict=True))
    if step.views:
        each = sum(2 * v.type.numel() if head.convolves else 4 * _pooled(v, head) for v, head in read)
        if (needed := each * samples * step.views) > _MOST_OF_VIEWS:
            raise UsageError(
                f"{step.views} views of {samples} samples take {needed / 2**30:.1f} GiB, more than {_MOST_OF_VIEWS >> 30}",
                where="early_exit: views",
                hint=f"views = {_MOST_OF_VIEWS // (each * samples)}, or 0: the network runs in every step",
            )
        return True
    numbers = sum(v.type.numel() if head.convolves else _pooled(v, head) for v, head in read)
    return step.settings().augment == "none" and 4 * numbers * samples <= _MOST_KEPT


def _pooled(value: Value, head: Head) -> int:
    """How many numbers of a sample a head that only pools reads."""
    return int(value.tensor_shape[features_axis(value)]) * head.pool**2


def on_features(
    step: EarlyExit,
    own: Sequence[Head],
    graph: Graph,
    places: Sequence[str],
    end: str,
    samples: Samples,
    feeding: Feeding,
) -> tuple[Graph, object, list[tuple[Tensor, Tensor]], tuple[Hint, ...]]:
    """A graph of the heads alone, and what they read of every training sample, standardised; by what mean and scale; hints.

    What the network says of the samples stands behind that: the features of its last layer for hints, then its answers.
    """
    whole = graph.copy()
    values = {value.name: value for value in whole.values()}
    classes = int(values[end].tensor_shape[1])
    _refuse_unreadable(step, own, graph, places, classes)
    features = [
        (taken if head.convolves else pooled)(whole, values[name], head, f"exits.{number}")
        for number, (name, head) in enumerate(zip(places, own, strict=True))
    ]
    told = [read_by_last_layer(values[end])] if any(head.hint for head in own) else []
    told += [values[end]] if step.self_distillation else []
    of_views = [torch.float16 if head.convolves and step.views else torch.float32 for head in own]
    batches = chain.from_iterable(samples.batches(view) for view in range(max(step.views, 1)))
    read, targets = values_of(whole, [*features, *told], batches, feeding, [*of_views, *[torch.float32] * len(told)])
    if not targets:
        raise no_classes(None)
    standards = [_standardised(x, head) for x, head in zip(read, own, strict=False)]
    heads, prefix = Graph("exits"), prefix_for(graph)
    generator = torch.Generator().manual_seed(step.settings().seed)
    inputs = [heads.add_input(f"x{number}", TensorType(x.dtype, (N, *x.shape[1:]))) for number, x in enumerate(read)]
    for number, (value, head) in enumerate(zip(inputs, own, strict=False)):
        name = f"{prefix}.{number}"
        if value.type.dtype != torch.float32:
            value = heads.add(ops.Cast(dtype_name(torch.float32)), value, name=f"{name}.read")
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


def _standardised(x: Tensor, head: Head) -> tuple[Tensor, Tensor]:
    """Standardises features (samples, features) or channels in place; mean and scale, which the trained layer takes over.

    What hardly varies counts as a tenth of the mean deviation, so that no weight explodes. A convolution meets zeros at its
    edges, so what it reads keeps its mean. Copied layers read what they are used to, and stages have norms of their own:
    theirs stay as they are.
    """
    if not head.standardises:
        return torch.zeros(x.shape[1]), torch.ones(x.shape[1])
    over, around = [0, *range(2, x.dim())], [1] * (x.dim() - 2)
    deviations = x.float().std(over)
    mean = torch.zeros_like(deviations) if head.channels else x.mean(over)
    scale = deviations.clamp_min(max(0.1 * float(deviations.mean()), 1e-6))
    x.sub_(mean.reshape(1, -1, *around)).div_(scale.reshape(1, -1, *around))
    return mean, scale
