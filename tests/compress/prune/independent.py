"""A masked original that knows norms and means: torch alone, the record of what was removed, and nothing of the product."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.ir import Graph
from edgekit.ir.history import StepRecord
from tests.compress.prune.combinations.common import OverChannels
from tests.compress.prune.masked import masked_source


def reference(model: nn.Module, record: StepRecord) -> nn.Module:
    """A copy with zeros in what was removed, whose norms and means over channels take those that stay, in double precision.

    A norm's weight says what stays of its channels; one without weights must not have lost any of those that it mixes.
    """
    removed = record.removed
    twin = masked_source(model, removed, record.details.get("removed_of_groups")).double().eval()
    for name, module in twin.named_modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.RMSNorm) and f"{name}.weight" in removed:
            _take_those_that_stay(module, removed[f"{name}.weight"])
        if isinstance(module, OverChannels):
            parameter, _, axis = module.of.partition("/")
            weight = twin.get_parameter(parameter)
            gone = removed.get(parameter, {}).get(int(axis or 0), ())
            module.kept = torch.tensor([i for i in range(weight.shape[int(axis or 0)]) if i not in gone])
    return twin


def reference_outputs(model: nn.Module, record: StepRecord, inputs: tuple[Tensor, ...]) -> Any:
    """What the reference makes of inputs, in double precision."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # torch's fused layers read the weights of norms, and not the norms
    try:
        with torch.no_grad():
            return reference(model, record)(*(x.double() if x.is_floating_point() else x for x in inputs))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def outputs_in_double(graph: Graph, inputs: tuple[Tensor, ...]) -> Any:
    """What a graph makes of inputs, in double precision; the graph is left as it is."""
    with torch.no_grad():
        module = copy.deepcopy(graph.module()).double().eval()
        return module(*(x.double() if x.is_floating_point() else x for x in inputs))


def flat(result: Any) -> list[Tensor]:
    """All tensors of nested lists and dictionaries, in order."""
    if isinstance(result, Tensor):
        return [result]
    return [t for item in (result.values() if isinstance(result, dict) else result) for t in flat(item)]


def difference(wanted: Any, got: Any) -> float:
    """Relative to the largest element of each output; integers must be equal."""
    worst = 0.0
    for a, b in zip(flat(wanted), flat(got), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, f"{a.shape} {a.dtype} became {b.shape} {b.dtype}"
        a, b = a.double(), b.double()
        worst = max(worst, float((a - b).abs().max()) / max(float(a.abs().max()), 1e-12))
    return worst


def _take_those_that_stay(module: nn.LayerNorm | nn.GroupNorm | nn.RMSNorm, gone: Mapping[int, tuple[int, ...]]) -> None:
    weight, bias = module.weight, getattr(module, "bias", None)
    kept = [torch.tensor([i for i in range(n) if i not in gone.get(axis, ())]) for axis, n in enumerate(weight.shape)]

    def forward(x: Tensor) -> Tensor:
        axes = [1] if isinstance(module, nn.GroupNorm) else list(range(x.dim() - weight.dim(), x.dim()))
        small, w, b = x, weight, bias
        for i, axis in enumerate(axes):
            small, w = small.index_select(axis, kept[i]), w.index_select(i, kept[i])
            b = None if b is None else b.index_select(i, kept[i])
        if isinstance(module, nn.GroupNorm):
            made = F.group_norm(small, module.num_groups if module.num_groups < len(weight) else len(w), w, b, module.eps)
        elif isinstance(module, nn.LayerNorm):
            made = F.layer_norm(small, w.shape, w, b, module.eps)
        else:
            made = F.rms_norm(small, list(w.shape), w, module.eps)
        for i, axis in reversed(list(enumerate(axes))):
            size = list(made.shape)
            size[axis] = x.shape[axis]
            made = made.new_zeros(size).index_copy(axis, kept[i], made)
        return made

    module.forward = forward  # type: ignore[method-assign]
