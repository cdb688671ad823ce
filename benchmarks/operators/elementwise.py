"""Arithmetic and functions of each element, numbers and broadcasting included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.operators.row import Row, function, integer, refused

IMAGE, VECTOR = (4, 9, 8), (6,)


def _each(name: str, called: Callable[..., Any], **bounds: Any) -> Row:
    return function(name, called, IMAGE, any_rank=True, **bounds)


def _two(name: str, called: Callable[..., Any], **bounds: Any) -> Row:
    return function(name, called, IMAGE, IMAGE, any_rank=True, **bounds)


def _positive(x: Tensor) -> Tensor:
    return x.abs() + 0.5


FUNCTIONS = (
    _each("torch.abs", torch.abs),
    _each("torch.neg", torch.neg),
    _each("torch.exp", torch.exp),
    _each("torch.exp2", torch.exp2),
    _each("torch.expm1", torch.expm1),
    _each("torch.log", lambda x: torch.log(_positive(x))),
    _each("torch.log2", lambda x: torch.log2(_positive(x))),
    _each("torch.log10", lambda x: torch.log10(_positive(x))),
    _each("torch.log1p", lambda x: torch.log1p(x.abs())),
    _each("torch.sqrt", lambda x: torch.sqrt(_positive(x))),
    _each("torch.rsqrt", lambda x: torch.rsqrt(_positive(x))),
    _each("torch.square", torch.square),
    _each("torch.reciprocal", lambda x: torch.reciprocal(_positive(x))),
    _each("torch.sin", torch.sin),
    _each("torch.cos", torch.cos),
    _each("torch.tan", lambda x: torch.tan(torch.tanh(x))),
    _each("torch.sinh", torch.sinh),
    _each("torch.cosh", torch.cosh),
    refused("torch.asin", torch.asin, "aten.asin", IMAGE),
    refused("torch.acos", torch.acos, "aten.acos", IMAGE),
    refused("torch.atan", torch.atan, "aten.atan", IMAGE),
    refused("torch.atan2", lambda x: torch.atan2(x, x), "aten.atan2", IMAGE),
    _each("torch.asinh", torch.asinh),
    _each("torch.acosh", lambda x: torch.acosh(x.abs() + 1.5)),
    _each("torch.atanh", lambda x: torch.atanh(torch.tanh(x) * 0.9)),
    _each("torch.erf", torch.erf),
    _each("torch.erfc", torch.erfc),
    _each("torch.logit", lambda x: torch.logit(torch.sigmoid(x), eps=0.1)),
    _each("torch.sign", torch.sign, jumps=True),
    _each("torch.floor", lambda x: torch.floor(x * 3), jumps=True),
    _each("torch.ceil", lambda x: torch.ceil(x * 3), jumps=True),
    _each("torch.round", lambda x: torch.round(x * 3), jumps=True),
    _each("torch.trunc", lambda x: torch.trunc(x * 3), jumps=True),
    _each("torch.frac", lambda x: torch.frac(x * 3), jumps=True),
    _each("torch.clamp", lambda x: x.clamp(-0.7, 1.2)),
    _each("torch.clamp, one bound", lambda x: x.clamp(min=-0.5)),
    _each("torch.clamp, bounds of tensors", lambda x: torch.clamp(x, torch.tensor(-0.5), torch.tensor(1.0))),
    _each("x ** 2", lambda x: x**2),
    _each("x ** 3", lambda x: x**3),
    _each("x ** 0.5", lambda x: _positive(x) ** 0.5),
    _each("x ** -1.5", lambda x: _positive(x) ** -1.5),
    _each("2 ** x", lambda x: 2**x),
    _each("torch.nan_to_num", lambda x: torch.nan_to_num(x)),
)

ARITHMETIC = (
    _two("x + y", lambda x, y: x + y),
    _two("x - y", lambda x, y: x - y),
    _two("x * y", lambda x, y: x * y),
    _two("x / y", lambda x, y: x / _positive(y)),
    _two("x ** y", lambda x, y: _positive(x) ** y),
    _two("x // y", lambda x, y: (x * 3) // _positive(y), jumps=True),
    _two("torch.remainder", lambda x, y: torch.remainder(x * 5, _positive(y)), jumps=True),
    _two("torch.fmod", lambda x, y: torch.fmod(x * 5, _positive(y)), jumps=True),
    _two("torch.div, rounding_mode='trunc'", lambda x, y: torch.div(x * 3, _positive(y), rounding_mode="trunc"), jumps=True),
    _two("torch.maximum", torch.maximum),
    _two("torch.minimum", torch.minimum),
    _two("torch.lerp", lambda x, y: torch.lerp(x, y, 0.3)),
    _two("torch.addcmul", lambda x, y: torch.addcmul(x, x, y, value=2)),
    _two("torch.addcdiv", lambda x, y: torch.addcdiv(x, x, _positive(y))),
    _two("torch.add, alpha", lambda x, y: torch.add(x, y, alpha=2)),
    _two("torch.rsub, alpha", lambda x, y: torch.rsub(x, y, alpha=2)),
    _two("torch.hypot", torch.hypot),
    _two("torch.logaddexp", torch.logaddexp),
    _two("F.cosine_similarity", lambda x, y: F.cosine_similarity(x, y)),
    _two("F.pairwise_distance", lambda x, y: F.pairwise_distance(x, y)),
    function(
        "torch.cdist",
        lambda x, y: torch.cdist(x, y),
        (5, 6),
        (7, 6),
        tolerance=1e-4,
        why="torch takes the root of a difference of squares",
    ),
    _each("x + number", lambda x: 2 - x * 3 + 1),
    _each("x / number", lambda x: x / 3),
    function("number / x", lambda x: 5 / _positive(x), VECTOR),
    function("x + y, a channel broadcast", lambda x, y: x + y, IMAGE, (4, 1, 1)),
    function("x * y, outer", lambda x, y: x[:, :, None] * y[:, None, :], VECTOR, (5,)),
    function("x + y, ranks differ", lambda x, y: x + y.unsqueeze(1).unsqueeze(1), IMAGE, (8,)),
    function("x + constant vector", lambda x: x + torch.arange(8.0), IMAGE),
    function("x + batch-free parameter", lambda x: x * torch.linspace(0.5, 1.5, 4).reshape(4, 1, 1), IMAGE),
    function("integers: + - *", lambda x, y: x * 3 + y - 2, integer(6), integer(6)),
    function("int32: // %", lambda x: (x.int() // 3, x.int() % 3), integer(6)),
    function(
        "int64: // %",
        lambda x: (x // 3, x % 3),
        integer(6),
        refused=dict.fromkeys(("tflite-fp32", "tflite-int8"), "FLOOR_DIV takes no int64"),
    ),
    function("integers: divided", lambda x: x / 3, integer(6)),
    function("bool times float", lambda x: (x > 0) * x + (x > 0).long() * 2, VECTOR, jumps=True),
    function(
        "x.half().float()",
        lambda x: x.half().float(),
        VECTOR,
        jumps=True,
        refused=dict.fromkeys(("tflite-fp32", "tflite-int8"), "do not compute with float16"),
    ),
    function(
        "x.double()",
        lambda x: (x.double() * 2).float(),
        VECTOR,
        refused=dict.fromkeys(("tflite-fp32", "tflite-int8"), "do not compute with float64"),
    ),
    function("x.long()", lambda x: (x * 3).long(), VECTOR, jumps=True),
)

ROWS = (*FUNCTIONS, *ARITHMETIC)
