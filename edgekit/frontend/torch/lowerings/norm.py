"""Normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from edgekit.frontend.torch.context import Lowering
from edgekit.frontend.torch.table import Result, lowers
from edgekit.ir import Value, ops

aten = torch.ops.aten


@lowers(aten.batch_norm.default)
def batch_norm(
    ctx: Lowering,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Result:
    """Momentum and the counter of batches are the module's: an exported program has momentum 0.0 for a cumulative average."""
    if running_mean is None or running_var is None:
        raise ctx.refused(
            "batch norm without running statistics normalises with the batch it is given",
            "train with track_running_stats=True, or use group, layer or instance norm",
        )
    if training:
        raise ctx.refused(
            "batch norm is in training mode: its result depends on the batch", "call model.eval() before torch.export.export"
        )
    is_module = ctx.is_layer(_BatchNorm)
    batches = ctx.graph.state.get(f"{ctx.path}.num_batches_tracked".removeprefix(".")) if is_module else None
    if isinstance(ctx.module, _BatchNorm):
        average = ctx.module.momentum
    else:  # a file does not say; nobody asks for running statistics that never run
        average = None if momentum == 0.0 and batches is not None else momentum
    frozen = not ctx.training_argument("training", is_module or not ctx.building.modules)
    op = ops.BatchNorm(eps=eps, momentum=average, frozen=frozen)
    return ctx.add(op, input, weight, bias, running_mean, running_var, None if frozen else batches)


@lowers(aten._native_batch_norm_legit_no_training.default)
def batch_norm_no_training(
    ctx: Lowering,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value,
    running_var: Value,
    momentum: float,
    eps: float,
) -> Result:
    """Decomposed programs: the statistics that the op also returns are empty."""
    op = ops.BatchNorm(eps=eps, momentum=momentum)
    return ctx.add(op, input, weight, bias, running_mean, running_var, None), None, None


@lowers(aten.layer_norm.default)
def layer_norm(
    ctx: Lowering,
    input: Value,
    normalized_shape: Sequence[int],
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Result:
    """Over the last dimensions, as many as ``normalized_shape`` has."""
    return ctx.add(ops.LayerNorm(axes=len(normalized_shape), eps=eps), input, weight, bias)


@lowers(aten.native_layer_norm.default)
def native_layer_norm(
    ctx: Lowering, input: Value, normalized_shape: Sequence[int], weight: Value | None, bias: Value | None, eps: float
) -> Result:
    """Decomposed programs: mean and deviation are for the gradient."""
    return ctx.add(ops.LayerNorm(axes=len(normalized_shape), eps=eps), input, weight, bias), None, None


@lowers(aten.rms_norm.default)
def rms_norm(
    ctx: Lowering, input: Value, normalized_shape: Sequence[int], weight: Value | None = None, eps: float | None = None
) -> Result:
    """Without ``eps``, torch takes the smallest step of the element type."""
    step = torch.finfo(input.type.dtype).eps if eps is None else eps
    return ctx.add(ops.RmsNorm(axes=len(normalized_shape), eps=step), input, weight)


@lowers(aten.group_norm.default)
def group_norm(
    ctx: Lowering,
    input: Value,
    num_groups: int,
    weight: Value | None = None,
    bias: Value | None = None,
    eps: float = 1e-05,
    cudnn_enabled: bool = True,
) -> Result:
    """Over each group of channels and all positions."""
    return ctx.add(ops.GroupNorm(groups=num_groups, eps=eps), input, weight, bias)


@lowers(aten.native_group_norm.default)
def native_group_norm(
    ctx: Lowering, input: Value, weight: Value | None, bias: Value | None, N: int, C: int, HxW: int, group: int, eps: float
) -> Result:
    """Decomposed programs."""
    return ctx.add(ops.GroupNorm(groups=group, eps=eps), input, weight, bias), None, None


@lowers(aten.instance_norm.default)
def instance_norm(
    ctx: Lowering,
    input: Value,
    weight: Value | None,
    bias: Value | None,
    running_mean: Value | None,
    running_var: Value | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Result:
    """With running statistics in use it is a batch norm."""
    if use_input_stats:
        ctx.need(
            running_mean is None, "updates running statistics with each call", "call model.eval() before torch.export.export"
        )
        return ctx.add(ops.InstanceNorm(eps=eps), input, weight, bias)
    ctx.need(running_mean is not None and running_var is not None, "has no statistics to normalise with")
    # In training each sample is normalised by itself, which no op of the graph does together with running statistics.
    return ctx.add(ops.BatchNorm(eps=eps, momentum=momentum, frozen=True), input, weight, bias, running_mean, running_var, None)
