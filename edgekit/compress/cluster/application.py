"""What the step ``cluster`` does: batch norms folded, weights clustered, their values trained."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from edgekit.compress.cluster.codebooks import Codebook, bias_codebook, codebook_of
from edgekit.compress.cluster.digits import rounded
from edgekit.compress.cluster.moving import Moving
from edgekit.compress.cluster.sharing import Sharing
from edgekit.compress.cluster.step import Cluster
from edgekit.compress.context import Context
from edgekit.compress.names import check_names, closest_that_covers
from edgekit.compress.recording import recorded
from edgekit.compress.sparsify.weights import find_weights
from edgekit.compress.tuning import tune
from edgekit.errors import Unsupported
from edgekit.ir import Graph, Value
from edgekit.passes.base import PassRecord
from edgekit.passes.eliminate import EliminateDead
from edgekit.passes.fold_batch_norm import FoldBatchNorm

#: Said of every clustered network.
NOT_FASTER = (
    "shared values make no kernel faster and no artifact smaller: latency, memory and MACs stay; the file is smaller once "
    "`edgekit pack` has packed it"
)


def cluster(step: Cluster, graph: Graph, data: object | None, context: Context) -> Graph:
    """See ``Cluster.apply``."""
    started = time.perf_counter()
    if any(value.quant is not None for value in graph.values()):
        hint = 'cluster first (grid = "int8"), quantise afterwards'
        raise Unsupported("clustering the weights of a quantised graph", where=graph.name, hint=hint)
    folded, record = FoldBatchNorm().run(copy.deepcopy(graph))  # weights too: a graph's own copy shares them
    EliminateDead().apply(folded)  # what is left of them, which nothing reads
    chosen, declined = find_weights(folded, (), step.keep)
    bits = _bits(step, chosen, folded)
    codebooks = {name: codebook_of(weight, bits[name], step) for name, weight in chosen.items()}
    if step.biases:
        codebooks |= {name: bias_codebook(bias, step.biases) for name, bias in _biases(folded, chosen).items()}
    before = {name: folded.state[name].tensor.detach().clone() for name in codebooks}
    after, tuned = folded, None
    if step.epochs:
        rule = Moving if step.assignment == "trained" else Sharing
        tuned = tune(folded, data, step.settings(), step.distillation, context, rule=lambda student: rule(student, codebooks))
        after = tuned.trained.graph
    else:
        Sharing(after, codebooks).weights()
    for name, codebook in codebooks.items():
        _round(after.state[name], codebook, step)
    details = {
        "codebooks": {name: _row(after.state[name], codebook, before[name]) for name, codebook in codebooks.items()},
        "zeros": {name: _zeros(after.state[name].tensor) for name in chosen},
        "folded": record.rewrites,
        **(tuned.details() if tuned is not None else {}),
    }
    return recorded(
        "cluster",
        step,
        graph,
        after,
        started,
        details=details,
        warnings=tuned.warnings if tuned is not None else (),
        notes=(NOT_FASTER, *_folding(record), *(tuned.notes if tuned is not None else ())),
        declined=declined,
    )


def _bits(step: Cluster, chosen: Mapping[str, Value], graph: Graph) -> dict[str, int]:
    """Bits of each weight; the closest name in ``layers`` counts."""
    check_names("layers", step.layers, chosen, of="a weight to cluster", where=graph.name)
    closest = {name: closest_that_covers(step.layers, name) for name in chosen}
    return {name: step.bits if wish is None else step.layers[wish] for name, wish in closest.items()}


def _biases(graph: Graph, chosen: Mapping[str, Value]) -> dict[str, Value]:
    """The trained biases of the layers whose weights are clustered."""
    names = {id(value): name for name, value in graph.state.items()}
    found = {}
    for weight in chosen.values():
        for node in weight.users:
            bias = node.optional(2) if len(node.inputs) > 2 and node.inputs[1] is weight else None
            if bias is not None and bias.is_constant and bias.is_trainable and len(bias.users) == 1 and id(bias) in names:
                found[names[id(bias)]] = bias
    return found


@torch.no_grad()
def _round(value: Value, codebook: Codebook, step: Cluster) -> None:
    """Brings the values to where the file has them: whole units, or so many binary digits."""
    tensor = value.tensor
    if codebook.units is not None:
        units = codebook.units.to(torch.float64)
        whole = torch.round(tensor.detach().double() / units).clamp(-127, 127)
        tensor.copy_(whole * units)
    else:
        tensor.copy_(rounded(tensor.detach(), step.significant))


def _row(value: Value, codebook: Codebook, before: Tensor) -> dict[str, Any]:
    """What a codebook came to: bits, values without the zero, and the error beside the weights before."""
    now = value.tensor.detach().cpu()
    there = codebook.labels >= 0
    members = now[there] if codebook.units is None else (now / codebook.units.to(now.dtype))[there].round()
    change = (now.double() - before.cpu().double()).square().mean().sqrt()
    return {
        "bits": codebook.bits,
        "values": int(torch.unique(members).numel()),
        "elements": int(there.sum()),
        "rms_error": float(change),
        "relative_error": float(change / before.double().square().mean().sqrt().clamp_min(1e-30)),
    }


def _zeros(tensor: Tensor) -> list[int]:
    return [int((tensor.detach() == 0).sum()), tensor.numel()]


def _folding(record: PassRecord) -> tuple[str, ...]:
    """What is said of batch norms."""
    notes = [f"{record.rewrites} batch norms were folded into the weights first"] if record.rewrites else []
    left = "the batch norm '{}' was not folded ({}): where a build folds it, the values multiply"
    return (*notes, *(left.format(skip.value, skip.reason) for skip in record.skipped))
