"""What the step ``slimmable`` does: sizes, their own tensors, the training, and what each size comes to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgekit.compress.context import Context
from edgekit.compress.prune.analysis import analyse
from edgekit.compress.prune.budget import weight_bytes
from edgekit.compress.prune.evidence import evidence
from edgekit.compress.prune.reestimate import reestimate
from edgekit.compress.recording import recorded
from edgekit.compress.scoring import require_scorable, score
from edgekit.compress.slimmable.extraction import STEP, record_of
from edgekit.compress.slimmable.heads import heads_of
from edgekit.compress.slimmable.nested import Nested, nest
from edgekit.compress.slimmable.objective import Sandwich
from edgekit.compress.slimmable.size import Size
from edgekit.compress.slimmable.step import Slimmable
from edgekit.compress.sparsify.held import held
from edgekit.data import Data, repeatable
from edgekit.errors import Unsupported, UsageError
from edgekit.ir import Graph, ops
from edgekit.train.loop import train
from edgekit.train.task_loss import task_loss
from edgekit.train.validation import held_out


def make_slimmable(step: Slimmable, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Slimmable.apply``. The order of the lines is the order of the work."""
    started = time.perf_counter()
    if record_of(graph) is not None:
        raise Unsupported(
            "the network is slimmable already",
            where=graph.name,
            hint="one step with all widths, or a step 'slim' before this one",
        )
    _refuse_exits(graph)
    data = repeatable(data)
    require_scorable(graph, data.evaluate if isinstance(data, Data) else None, context.root)
    nested = [nest(graph, size, step.round_to, step.norms) for size in step.sizes[1:]]
    _require_differences(graph, step.sizes, nested)
    heads = heads_of(graph, nested, step.heads)
    nested = [each.with_own(heads) for each in nested]
    whole = _with_own_tensors(graph, nested)
    settings = step.settings()
    objective = Sandwich(
        whole,
        nested,
        task_loss(whole, settings, context.root),
        loss=settings.loss,
        between=step.sandwich,
        share=step.distillation,
        temperature=step.temperature,
        epochs=settings.epochs,
        gradients=step.gradients,
        batches=step.batches,
    )
    trained = train(
        whole,
        data,
        settings,
        objective,
        folder=context.folder,
        say=context.say,
        root=context.root,
        rule=lambda student: objective.around(student, held(graph)),
    )
    result = trained.graph
    if step.norms == "shared":
        for each in nested:
            _measure_norms(each, result, data, context.root)
    _settle(result, nested)
    sizes = [_row(Size(), result, step, data, context.root)]
    sizes += [_row(each.size, each.filled(result), step, data, context.root) for each in nested]
    result.verify()
    batches = "own" if trained.draws > 1 else "shared"
    details = {"sizes": sizes, "heads": list(heads), "batches": batches, "training": trained.details()}
    notes = ["the graph is the whole network; edgekit.slimmed(graph, width=...) is another size, files are made of all"]
    if heads:
        notes.append(f"each size has its own {', '.join(heads)}, which a delivery of all sizes holds for each")
    if batches == "shared" and step.batches == "auto" and settings.epochs:
        notes.append("the training data has one order, so all sizes had the same batches; from a Dataset each takes its own")
    return recorded(STEP, step, graph, result, started, details=details, notes=tuple(notes))


def _refuse_exits(graph: Graph) -> None:
    """Temperatures and thresholds were chosen for one network's scores: at other sizes, and trained on, they mean nothing."""
    found = next((node for node in graph.nodes if isinstance(node.op, ops.ChooseExit)), None)
    if found is not None:
        raise Unsupported(
            "the network has early exits, whose thresholds were chosen for it alone and not for its other sizes",
            where=f"'{found.output.name}' of {graph.name}",
            hint="first 'slimmable', then 'slim' for one size, then 'early_exit'",
        )


def _require_differences(graph: Graph, sizes: Sequence[Size], nested: Sequence[Nested]) -> None:
    """Every size has fewer parameters than the one before it along its row; none is the same network as another."""
    seen = {(graph.macs, graph.parameters): Size()}
    for each in nested:
        cost = (each.graph.macs, each.graph.parameters)
        if cost == (graph.macs, graph.parameters):
            raise Unsupported(
                f"at size {each.size.name} the network is as large as it was: no layer may lose channels"
                + ("" if each.size.depth == 1 else ", and no block is left out"),
                where=graph.name,
                hint="a smaller width, depth or round_to; `prune` by ratio records what it declines, and why",
            )
        if cost in seen:
            blocks = seen[cost].width == each.size.width
            raise UsageError(
                f"sizes {seen[cost].name} and {each.size.name} are the same network",
                where=f"slimmable: {'depths' if blocks else 'widths'}",
                hint="depths further apart" if blocks else "widths further apart, or a smaller round_to",
            )
        seen[cost] = each.size


def _with_own_tensors(graph: Graph, nested: Sequence[Nested]) -> Graph:
    """A copy whose state holds also what is the sizes' own: as it begins, the first ones of the whole network's."""
    whole = graph.copy()
    for each in nested:
        for name in each.own:
            value = each.graph.state[name]
            data = value.tensor.detach().clone()
            own = nn.Parameter(data, requires_grad=value.tensor.requires_grad) if value.is_trainable else data
            whole.add_state(each.size.key(name), own)
    return whole


def _settle(graph: Graph, nested: Sequence[Nested]) -> None:
    """The sizes' own tensors are no parameters of the whole network any more: nothing else trains or counts them."""
    for each in nested:
        for name in each.own:
            value = graph.state[each.size.key(name)]
            value.data = value.tensor.detach().clone()


def _measure_norms(nested: Nested, whole: Graph, data: object | None, root: Path | None) -> None:
    """Statistics of a size's batch norms, measured with the weights that came out of the training."""
    small = nested.filled(whole)
    reestimate(small, evidence(analyse(small), data, labels=False, seed=0, root=root).batches)
    for name in nested.own:
        whole.state[nested.size.key(name)].data = small.state[name].tensor


def _row(size: Size, graph: Graph, step: Slimmable, data: object | None, root: Path | None) -> dict[str, Any]:
    """What a size costs and how good it is."""
    found = held_out(graph, data, step.settings(), root)
    evaluate = data.evaluate if isinstance(data, Data) else None
    with torch.no_grad():
        metrics = score(graph, evaluate, root)
    return {
        **size.as_dict(),
        "macs": graph.macs,
        "parameters": graph.parameters,
        "weight_bytes": weight_bytes(graph),
        "held_out": None if found is None else {"top1": found[0], "loss": -found[1]},
        "metrics": metrics,
    }
