"""Arithmetic, comparisons, selection and element types keep their values, numbers and broadcasting included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.frontend.compare import assert_same, op_names

X = torch.tensor([[0.3, -1.2, 2.0, 0.0, -0.4, 1.7], [-2.5, 0.6, 0.1, 1.0, -0.9, 3.2]])
POSITIVE = X.abs() + 0.1

ONE_OP: dict[str, str] = {
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "rsqrt": "rsqrt",
    "square": "square",
    "abs": "abs",
    "neg": "neg",
    "sign": "sign",
    "floor": "floor",
    "ceil": "ceil",
    "round": "round",
    "sin": "sin",
    "cos": "cos",
    "erf": "erf",
    "reciprocal": "div",
    "sgn": "sign",
    "positive": "",
}


@pytest.mark.parametrize("name", ONE_OP)
def test_a_function_of_one_tensor_is_one_op(name: str) -> None:
    graph = assert_same(lambda x: getattr(torch, name)(x.abs() + 0.1), POSITIVE)
    assert op_names(graph)[2:] == [ONE_OP[name]] * bool(ONE_OP[name])


FUNCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "log2": lambda x: torch.log2(x.abs() + 1),
    "log10": lambda x: torch.log10(x.abs() + 1),
    "log1p": lambda x: torch.log1p(x.abs()),
    "expm1": torch.expm1,
    "exp2": torch.exp2,
    "tan": torch.tan,
    "erfc": torch.erfc,
    "sinh and cosh": lambda x: torch.sinh(x) + torch.cosh(x),
    "logit": lambda x: torch.logit(torch.sigmoid(x)) + torch.logit(x, eps=0.1),
    "trunc and frac": lambda x: torch.trunc(x * 3) + torch.frac(x),
    "inverse hyperbolic": lambda x: torch.asinh(x) + torch.acosh(x.abs() + 1.5) + torch.atanh(torch.tanh(x)),
    "nan_to_num": lambda x: (torch.nan_to_num(x / (x - x), 1.0, 2.0, -3.0), torch.nan_to_num(x)),
    "distances of all pairs": lambda x: (
        torch.cdist(x.view(-1, 3, 2), x.view(-1, 3, 2) + 1),
        torch.cdist(x[:, None], x[:, None] * 2, 1),
    ),
    "isnan, isinf, isfinite": lambda x: (torch.isnan(x), torch.isinf(1 / (x - x)), torch.isfinite(x / x)),
    "numbers on either side": lambda x: (2 - x * 3 + 1) / 2 - 5 / (x.abs() + 1),
    "a number as a tensor": lambda x: x * torch.tensor(2.0) + torch.scalar_tensor(1.0),
    "broadcasting": lambda x: x[:, :, None] * x[:, None, :] + torch.arange(6.0),
    "alpha": lambda x: torch.add(x, x * x, alpha=2) - torch.sub(x, 1, alpha=3) + torch.rsub(x, 1, alpha=2),
    "addcmul, addcdiv, lerp": lambda x: x.addcmul(x, x, value=2) + x.addcdiv(x, x.abs() + 1) + x.lerp(x * 2, 0.3),
    "lerp with a tensor": lambda x: x.lerp(x * 2, torch.sigmoid(x)),
    "maximum, minimum": lambda x: torch.maximum(x, -x) + torch.minimum(x, x * x) + torch.max(x, x * 2) - torch.min(x, x * 3),
    "powers": lambda x: x**2 + x.abs() ** 0.5 + (x.abs() + 1) ** -0.5 + x**3 + x**1 + 2**x + (x.abs() + 1) ** x,
    "float_power": lambda x: torch.float_power(x.abs(), 1.5),
    "division rounded": lambda x: torch.div(x * 10, 3, rounding_mode="floor") + torch.div(x * 10, 3, rounding_mode="trunc"),
    "division not rounded": lambda x: torch.div(x, 3, rounding_mode=None),
    "remainder and fmod": lambda x: torch.remainder(x * 10, 3) + torch.fmod(x * 10, 3) + (x * 10) % 2.5,
    "hypot, logaddexp": lambda x: torch.hypot(x, x + 1) + torch.logaddexp(x, x * 2),
    "cosine similarity": lambda x: F.cosine_similarity(x, x * 2 + 1),
    "distances": lambda x: F.pairwise_distance(x, x * 2) + torch.dist(x[:, :3], x[:, 3:]),
    "losses": lambda x: F.mse_loss(x, x * 2) + F.l1_loss(x, x * 2) + F.smooth_l1_loss(x, x * 3),
    "clamp": lambda x: x.clamp(-1, 1) + x.clamp(min=0) + x.clamp(max=0.3) + x.clamp(0, 6) + x.clamp_min(0.1).clip(0.2, 0.9),
    "clamp with tensors": lambda x: torch.clamp(x, torch.tensor(-0.5), torch.ones(6)) + x.clamp(max=torch.zeros(1)),
    "masked_fill": lambda x: x.masked_fill(x < 0, float("-inf")).softmax(-1),
    "where": lambda x: torch.where(x > 0, x, 0.0) + torch.where(x > 0, torch.tensor(1.0), x) + torch.where(x > 1, 1.0, 2.0),
    "comparisons": lambda x: (x > 0, x >= 0, x < 1, x <= 1, x == 0, x != 0, x > x * x),
    "logic": lambda x: (((x > 0) & (x < 1)) | ~(x == 0.0)) ^ (x > 1),
    "logic of numbers": lambda x: torch.logical_and(x, x - 1).logical_or(torch.logical_not(x)).logical_xor(x > 0),
    "triangles": lambda x: (torch.tril(x[:, :, None] * x[:, None]), torch.triu(x[:, :, None] * x[:, None], 1)),
    "heaviside": lambda x: torch.heaviside(x, torch.tensor(0.5)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_keeps_its_values(name: str) -> None:
    kinked = (
        "powers",
        "isnan, isinf, isfinite",
        "hypot, logaddexp",
        "heaviside",
        "nan_to_num",
    )  # other gradients at single points
    assert_same(FUNCTIONS[name], X, tolerance=2e-5, gradients=name not in kinked)


TYPES: dict[str, Callable[[torch.Tensor], Any]] = {
    "bool times float": lambda x: (x > 0) * x + (x > 0).long() * 2,
    "integers divide in float": lambda x: (x * 10).int() / 3,
    "integers divide down": lambda x: ((x * 10).int() // 3, (x * 10).int() % 3),
    "integers with a float number": lambda x: (x * 10).int() * 2.5,
    "integers clamp as integers": lambda x: (x * 10).int().clamp(-1, 2),
    "comparison across types": lambda x: ((x * 10).int() > 2.5, x == 1),
    "functions of integers": lambda x: torch.exp((x * 2).int()),
    "sums of bool": lambda x: (x > 0).sum(1),
    "half and back": lambda x: x.half().float(),
    "double": lambda x: x.double() + 1.0,
    "to another tensor's type": lambda x: x.long().type_as(x) + x.int().to(x) + x.to(torch.float32),
    "to a device": lambda x: x.to("cpu") + torch.ones(6, device=x.device) + torch.zeros_like(x),
    "one_hot": lambda x: F.one_hot((x * 0 + 2).long(), 4),
}


@pytest.mark.parametrize("name", TYPES)
def test_element_types_are_those_of_the_source(name: str) -> None:
    assert_same(TYPES[name], X, tolerance=1e-3 if "half" in name else 1e-6)


def test_types_that_stay_leave_no_cast() -> None:
    graph = assert_same(lambda x: x.float().to(torch.float32).contiguous().detach().clone() + 1, X, gradients=False)
    assert op_names(graph) == ["add"]


BATCH_AS_NUMBER = [lambda x: x.sum() / x.shape[0], lambda x: x * x.shape[0], lambda x: x + float(x.shape[0])]


@pytest.mark.parametrize("function", BATCH_AS_NUMBER)
def test_a_batch_size_as_a_number_fixes_the_batch(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    graph = assert_same(function, X, batches=())
    assert graph.inputs[0].shape == (2, 6) and graph.notes[0].startswith("the batch is fixed: ")
