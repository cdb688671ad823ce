"""What the code of a model's forward speaks of, read without running it."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from torch import nn


def names_in_forward(module: nn.Module) -> set[str]:
    """Names in the forwards of all parts of a module, in the methods and functions that these name, and in hooks.

    Only code of the user's, or of a library that is not torch, is read. Names are those of variables, attributes and strings.
    """
    names: set[str] = set()
    seen: set[int] = set()
    for kind in {type(part) for part in module.modules()}:
        _collect(kind.forward, names, seen, _methods(kind))
    for part in module.modules():
        for hook in (*part._forward_hooks.values(), *part._forward_pre_hooks.values(), part.__dict__.get("forward")):
            _collect(hook, names, seen, {})
    return names


def kept_attributes(module: nn.Module) -> Iterator[str]:
    """Attributes (dotted) that hold None and that forward both writes and reads: most likely state kept between calls."""
    for path, part in module.named_modules():
        forward = type(part).forward
        if isinstance(forward, FunctionType) and not forward.__module__.startswith("torch."):
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
        if not parent.__module__.startswith("torch."):
            for name, function in vars(parent).items():
                if isinstance(function, FunctionType | staticmethod | classmethod):
                    methods.setdefault(name, function)
                elif isinstance(function, property):
                    methods.setdefault(name, function.fget)
    return methods


def _collect(function: Any, names: set[str], seen: set[int], methods: Mapping[str, Any]) -> None:
    function = getattr(function, "__func__", function)
    function = inspect.unwrap(function) if callable(function) else function
    if not isinstance(function, FunctionType) or id(function) in seen or (function.__module__ or "").startswith("torch."):
        return
    seen.add(id(function))
    own = set(_names(function.__code__))
    names |= own
    for name in own:
        for found in (methods.get(name), function.__globals__.get(name)):
            _collect(found, names, seen, methods)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str):  # getattr(self, "training")
            yield constant
