"""What the code of a model's forward speaks of, read without running it."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn


@dataclass
class ForwardCode:
    """What was read.

    Attributes:
        names: of variables, attributes and strings.
        gradients: classes with a gradient of their own (``torch.autograd.Function``).
    """

    names: set[str] = field(default_factory=set)
    gradients: set[str] = field(default_factory=set)


def read_forward(module: nn.Module) -> ForwardCode:
    """Reads the forwards of all parts of a module, the methods and functions that these name, and hooks.

    Only code of the user's, or of a library that is not torch, is read.
    """
    found = ForwardCode()
    seen: set[int] = set()
    for kind in {type(part) for part in module.modules()}:
        _collect(kind.forward, found, seen, _methods(kind))
    for part in module.modules():
        for hook in (*part._forward_hooks.values(), *part._forward_pre_hooks.values(), part.__dict__.get("forward")):
            _collect(hook, found, seen, {})
    return found


def kept_attributes(module: nn.Module) -> Iterator[str]:
    """Attributes (dotted) that hold None and that forward both writes and reads: most likely state kept between calls."""
    for path, part in module.named_modules():
        forward = type(part).forward
        if isinstance(forward, FunctionType) and not _is_torchs(forward):
            code = list(dis.get_instructions(forward))
            written = {i.argval for i in code if i.opname == "STORE_ATTR"}
            read = {i.argval for i in code if i.opname == "LOAD_ATTR"}
            for name in sorted(written & read):
                if vars(part).get(name, module) is None:
                    yield f"{path}.{name}".removeprefix(".")


def _methods(kind: type) -> dict[str, Any]:
    """Functions that a class and its parents define, torch's own left out, the class's own first."""
    methods: dict[str, Any] = {}
    for parent in kind.__mro__:
        if not _is_torchs(parent):
            for name, function in vars(parent).items():
                if isinstance(function, FunctionType | staticmethod | classmethod):
                    methods.setdefault(name, function)
                elif isinstance(function, property):
                    methods.setdefault(name, function.fget)
    return methods


def _collect(function: Any, found: ForwardCode, seen: set[int], methods: Mapping[str, Any]) -> None:
    if isinstance(function, type):
        if issubclass(function, torch.autograd.Function) and not _is_torchs(function):
            found.gradients.add(function.__name__)
        return
    function = getattr(function, "__func__", function)
    function = inspect.unwrap(function) if callable(function) else function
    if not isinstance(function, FunctionType) or id(function) in seen or _is_torchs(function):
        return
    seen.add(id(function))
    own = set(_names(function.__code__))
    found.names |= own
    around = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    for name in own | set(function.__code__.co_freevars):
        for value in (methods.get(name), around.get(name)):
            _collect(value, found, seen, methods)


def _is_torchs(thing: Any) -> bool:
    return (thing.__module__ or "").partition(".")[0] == "torch"


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str):  # getattr(self, "training")
            yield constant
