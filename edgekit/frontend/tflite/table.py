"""The table of lowerings: one function per TFLite operator."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgekit.formats.tflite.schema_generated import BuiltinOperator
from edgekit.frontend.tflite.held import Held, Sizes

#: What a lowering returns: the operator's result, or its results.
Result = Held | Sizes | tuple[Held | Sizes, ...]


@dataclass(frozen=True)
class Entry:
    """A lowering and what it takes.

    Attributes:
        function: the lowering.
        inputs: how many inputs it takes at most; None for any number.
        required: how many it needs.
        options: names of the option fields that it heeds; any other that is not at its default is refused.
        sizes: for each input, and for those beyond, whether sizes that are known may come in place of a tensor.
        refuses: it only says why there is none.
    """

    function: Callable[..., Result]
    inputs: int | None
    required: int
    options: frozenset[str]
    sizes: tuple[bool, ...] = (False,)
    refuses: bool = False

    def takes_sizes(self, place: int) -> bool:
        """Whether an input may be known sizes; others get them as a constant."""
        return self.sizes[min(place, len(self.sizes) - 1)]


_LOWERINGS: dict[BuiltinOperator, Entry] = {}


def lowers(*operators: BuiltinOperator) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Registers a lowering.

    The function takes the ``Lowering`` context, the operator's inputs by position (``Held``, ``Sizes`` or None), and the
    fields of its option table as keywords, by the names and with the defaults of TFLite's schema. A field that is not listed
    is one that the lowering cannot heed: a file that sets it is refused.
    """

    def register(function: Callable[..., Result]) -> Callable[..., Result]:
        entry = _entry(function)
        for operator in operators:
            if operator in _LOWERINGS:
                raise ValueError(f"two lowerings for {operator.name}")
            _LOWERINGS[operator] = entry
        return function

    return register


def _entry(function: Callable[..., Result]) -> Entry:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    several = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    options = frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    required = sum(p.default is p.empty for p in positional)
    taken = tuple("Sizes" in str(p.annotation) for p in parameters if p.kind is not p.KEYWORD_ONLY)
    return Entry(function, None if several else len(positional), required, options, taken or (False,))


@functools.cache
def lowerings() -> dict[BuiltinOperator, Entry]:
    """All lowerings; imports every module of the folder ``lowerings``."""
    from edgekit.frontend.tflite import lowerings as folder

    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return _LOWERINGS


def refuses(operators: tuple[BuiltinOperator, ...], reason: str, hint: str) -> None:
    """Registers operators that can have no lowering, with the reason that a user should read."""

    def refuse(ctx: Any, *inputs: Any, **options: Any) -> Result:
        raise ctx.refused(reason, hint)

    for operator in operators:
        _LOWERINGS[operator] = Entry(refuse, None, 0, frozenset(), (True,), refuses=True)
