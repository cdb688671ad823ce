"""Activations, normalisation and pools keep their function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit import Unsupported
from tests.frontend.compare import assert_same, op_names

IMAGE = torch.randn(2, 3, 9, 8)
SIGNAL = torch.randn(2, 4, 21)
ROWS = torch.randn(2, 6)

ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ReLU": (nn.ReLU, "relu"),
    "ReLU6": (nn.ReLU6, "relu6"),
    "SiLU": (nn.SiLU, "silu"),
    "Mish": (nn.Mish, "mish"),
    "Hardswish": (nn.Hardswish, "hardswish"),
    "Hardsigmoid": (nn.Hardsigmoid, "hardsigmoid"),
    "Sigmoid": (nn.Sigmoid, "sigmoid"),
    "Tanh": (nn.Tanh, "tanh"),
    "Hardtanh": (nn.Hardtanh, "clamp"),
    "Hardtanh 0 to 6": (lambda: nn.Hardtanh(0, 6), "relu6"),
    "LeakyReLU": (lambda: nn.LeakyReLU(0.2), "leaky_relu"),
    "PReLU": (nn.PReLU, "prelu"),
    "PReLU per channel": (lambda: nn.PReLU(3), "prelu"),
    "RReLU": (nn.RReLU, "leaky_relu"),
    "ELU": (lambda: nn.ELU(0.7), "elu"),
    "SELU": (nn.SELU, "elu"),
    "CELU": (lambda: nn.CELU(2.0), "elu"),
    "GELU": (nn.GELU, "gelu"),
    "GELU tanh": (lambda: nn.GELU("tanh"), "gelu"),
    "Softplus": (lambda: nn.Softplus(2.0, 1.0), "softplus"),
    "Hardshrink": (nn.Hardshrink, "hardshrink"),
    "Softshrink": (nn.Softshrink, "softshrink"),
    "Threshold": (lambda: nn.Threshold(0.1, 0.5), "threshold"),
    "Softmax": (lambda: nn.Softmax(1), "softmax"),
    "Softmax2d": (nn.Softmax2d, "softmax"),
    "LogSoftmax": (lambda: nn.LogSoftmax(-1), "log_softmax"),
    "Dropout": (nn.Dropout, "dropout"),
    "Dropout2d": (nn.Dropout2d, "dropout"),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_one_op(name: str) -> None:
    make, op = ACTIVATIONS[name]
    assert op_names(assert_same(make(), IMAGE)) == [op]


COMPOSED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "LogSigmoid": nn.LogSigmoid(),
    "GLU": nn.GLU(3),
    "Softmin": nn.Softmin(1),
    "Tanhshrink": nn.Tanhshrink(),
    "Softsign": nn.Softsign(),
    "relu_": lambda x: F.relu_(x * 2),
    "leaky_relu_": lambda x: F.leaky_relu_(x * 2, 0.3),
    "elu_": lambda x: F.elu_(x * 2),
    "hardtanh_": lambda x: F.hardtanh_(x * 2),
    "softmax to another type": lambda x: F.softmax(x, -1, dtype=torch.float64),
    "relu of integers": lambda x: F.relu((x * 10).int()),
    "an inplace layer": nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True)),
    "Identity": nn.Identity(),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_an_activation_made_of_several_ops_keeps_its_function(name: str) -> None:
    assert_same(COMPOSED[name], IMAGE)


def test_dropouts_that_do_nothing_leave_nothing() -> None:
    graph = assert_same(nn.Sequential(nn.Dropout(0.0), nn.Identity(), nn.ReLU()), IMAGE)
    assert op_names(graph) == ["relu"]


def test_a_dropout_that_acts_in_inference_is_refused() -> None:
    with pytest.raises(Unsupported, match="drops at random in inference") as error:
        assert_same(lambda x: F.dropout(x, 0.5), ROWS)
    assert "training=self.training" in (error.value.hint or "")


def _settled(norm: nn.Module) -> nn.Module:
    """Statistics and factors that are not the initial ones."""
    torch.manual_seed(2)
    for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5) if "var" in name else tensor.data.normal_()
    return norm


NORMS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, str]] = {
    "BatchNorm1d of rows": (lambda: nn.BatchNorm1d(6), ROWS, "batch_norm"),
    "BatchNorm1d of signals": (lambda: nn.BatchNorm1d(4), SIGNAL, "batch_norm"),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3, eps=1e-3), IMAGE, "batch_norm"),
    "BatchNorm2d without factors": (lambda: nn.BatchNorm2d(3, affine=False), IMAGE, "batch_norm"),
    "LayerNorm": (lambda: nn.LayerNorm([9, 8]), IMAGE, "layer_norm"),
    "LayerNorm without bias": (lambda: nn.LayerNorm(8, bias=False), IMAGE, "layer_norm"),
    "LayerNorm without factors": (lambda: nn.LayerNorm(8, elementwise_affine=False), IMAGE, "layer_norm"),
    "GroupNorm": (lambda: nn.GroupNorm(3, 3), IMAGE, "group_norm"),
    "GroupNorm of signals": (lambda: nn.GroupNorm(2, 4), SIGNAL, "group_norm"),
    "InstanceNorm1d": (lambda: nn.InstanceNorm1d(4), SIGNAL, "instance_norm"),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(3, affine=True), IMAGE, "instance_norm"),
    "InstanceNorm2d with statistics": (lambda: nn.InstanceNorm2d(3, track_running_stats=True), IMAGE, "batch_norm"),
    "RMSNorm": (lambda: nn.RMSNorm(8), IMAGE, "rms_norm"),
    "RMSNorm with eps": (lambda: nn.RMSNorm([9, 8], eps=1e-3), IMAGE, "rms_norm"),
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_one_op(name: str) -> None:
    make, example, op = NORMS[name]
    assert op_names(assert_same(_settled(make()), example, tolerance=2e-6)) == [op]


def test_local_response_norm_is_a_pool_over_channels() -> None:
    assert "avg_pool2d" in op_names(assert_same(nn.LocalResponseNorm(3), IMAGE))
    assert_same(nn.LocalResponseNorm(2), SIGNAL)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3, affine=False, track_running_stats=False)]
)
def test_a_batch_norm_without_statistics_is_refused(norm: nn.Module) -> None:
    with pytest.raises(Unsupported, match="without running statistics") as error:
        assert_same(nn.Sequential(nn.Conv2d(3, 3, 1), norm), IMAGE)
    assert error.value.where == "1" and "track_running_stats=True" in (error.value.hint or "")


POOLS: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor, list[str]]] = {
    "max": (nn.MaxPool2d(3, 2, 1), IMAGE, ["max_pool2d"]),
    "max, ceil_mode": (nn.MaxPool2d(2, 2, ceil_mode=True), IMAGE, ["max_pool2d"]),
    "max, dilated": (nn.MaxPool2d((2, 3), 1, dilation=2), IMAGE, ["max_pool2d"]),
    "max 1d": (nn.MaxPool1d(3, 2, 1), SIGNAL, ["max_pool1d"]),
    "max of one image": (lambda x: F.max_pool2d(x.mean(0), 2), IMAGE, ["mean", "reshape", "max_pool2d", "reshape"]),
    "average": (nn.AvgPool2d(3, 2, 1), IMAGE, ["avg_pool2d"]),
    "average, pads not counted": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE, ["avg_pool2d"]),
    "average, ceil_mode": (nn.AvgPool2d(2, 3, 1, ceil_mode=True), IMAGE, ["avg_pool2d"]),
    "average, ceil_mode, pads not counted": (nn.AvgPool2d(2, 3, 1, True, False), IMAGE, ["avg_pool2d"]),
    "average, divisor": (nn.AvgPool2d(3, 2, 1, divisor_override=5), IMAGE, ["avg_pool2d"]),
    "average 1d": (nn.AvgPool1d(3, 2, 1), SIGNAL, ["avg_pool1d"]),
    "adaptive to 1": (nn.AdaptiveAvgPool2d(1), IMAGE, ["mean"]),
    "adaptive to a divisor": (nn.AdaptiveAvgPool2d((3, 4)), IMAGE, ["avg_pool2d"]),
    "adaptive to windows that overlap alike": (nn.AdaptiveAvgPool2d((4, 8)), IMAGE, ["avg_pool2d"]),
    "adaptive to something else": (nn.AdaptiveAvgPool2d((5, 3)), IMAGE, ["adaptive_avg_pool2d"]),
    "adaptive in one direction": (nn.AdaptiveAvgPool2d((None, 2)), IMAGE, ["avg_pool2d"]),
    "adaptive 1d to 1": (nn.AdaptiveAvgPool1d(1), SIGNAL, ["mean"]),
    "adaptive 1d to a divisor": (nn.AdaptiveAvgPool1d(7), SIGNAL, ["avg_pool1d"]),
    "adaptive 1d to something else": (nn.AdaptiveAvgPool1d(9), SIGNAL, ["reshape", "adaptive_avg_pool2d", "reshape"]),
    "adaptive max to 1": (nn.AdaptiveMaxPool2d(1), IMAGE, ["amax"]),
    "adaptive max to a divisor": (nn.AdaptiveMaxPool2d((3, 2)), IMAGE, ["max_pool2d"]),
    "adaptive max to something else": (nn.AdaptiveMaxPool2d(5), IMAGE, ["adaptive_max_pool2d"]),
    "adaptive max 1d to something else": (nn.AdaptiveMaxPool1d(9), SIGNAL, ["reshape", "adaptive_max_pool2d", "reshape"]),
    "adaptive max 1d to windows that overlap alike": (nn.AdaptiveMaxPool1d(4), SIGNAL, ["max_pool1d"]),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_keeps_its_function(name: str) -> None:
    function, example, ops = POOLS[name]
    gradients = "max" not in name  # ties share the gradient in one form and not in the other
    assert op_names(assert_same(function, example, gradients=gradients)) == ops


@pytest.mark.parametrize(("pool", "example"), [(nn.LPPool2d(2, 2), IMAGE), (nn.LPPool1d(3, 3), SIGNAL)])
def test_a_power_average_pool_is_composed(pool: nn.Module, example: torch.Tensor) -> None:
    assert_same(pool, example, tolerance=1e-5, gradients=False)


def test_values_of_a_pool_with_indices_are_kept_and_indices_refused() -> None:
    assert_same(lambda x: F.max_pool2d(x, 2, return_indices=True)[0], IMAGE)
    with pytest.raises(Unsupported, match=r"result 1 of 'aten\.max_pool2d_with_indices"):
        assert_same(lambda x: F.max_pool2d(x, 2, return_indices=True), IMAGE)
