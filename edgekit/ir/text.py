"""The graph as text: for people, for the tests of passes, and back again.

::

    graph net(%x: float32[N,3,8,8])
      @conv.weight: float32[4,3,3,3] parameter
      @mean: float32[4] buffer
      @half: float32[] = 0.5
      %y: float32[N,4,8,8] ~ int8(scale=0.05, zero_point=-3) = conv2d(%x, @conv.weight, none, padding=((1, 1), (1, 1)))
      %a: float32[N,2,8,8], %b: float32[N,2,8,8] = split(%y, axis=1, sizes=(2, 2))
      return %a, %b

``%`` is a computed value or an input, ``@`` a constant, ``none`` an absent optional input, ``~`` a quantisation, ``#`` a
comment. A name with other characters than letters, digits and ``_ . / -`` stands in double quotes. What a constant is follows
its type: ``parameter`` (trainable), ``frozen`` (a parameter without gradient), ``buffer``, ``transient`` (a buffer outside the
state_dict), or nothing for a constant of the graph's own; in brackets the names in the source's state where they are not just
the value's own (tied weights: ``parameter(head.weight, embed.weight)``). Constants of the graph's own with at most eight
elements show them.

Places in the source, the call signature, history and notes are not in the text; ``edgekit.ir.file`` keeps all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from edgekit.ir.graph import Graph, Node, Value
from edgekit.ir.quant import QuantParams
from edgekit.ir.text_parser import BARE_NAME, parse
from edgekit.ir.types import where_text

__all__ = ["parse", "to_text"]

_SHOWN_ELEMENTS = 8


def to_text(graph: Graph, *, places: bool = False) -> str:
    """The graph as text that ``parse`` reads; with ``places`` a comment behind each node says where it comes from."""
    inputs = ", ".join(_typed(value) for value in graph.inputs)
    lines = [f"graph {_quoted(graph.name)}({inputs})"]
    lines += [f"  {line}" for line in _constants(graph)]
    for node in graph.nodes:
        comment = f"  # {where_text(node.where)}" if places and node.where else ""
        lines.append(f"  {node_text(node)}{comment}")
    lines.append("  return" + ",".join(f" {reference(value)}" for value in graph.outputs))
    return "\n".join(lines) + "\n"


def node_text(node: Node) -> str:
    """One node with the types of its outputs."""
    return f"{', '.join(_typed(value) for value in node.outputs)} = {call_text(node)}"


def call_text(node: Node) -> str:
    """The right-hand side: ``add(%a, @b, activation='relu')``."""
    name, _, attributes = str(node.op).partition("(")
    inputs = ", ".join(reference(value) for value in node.inputs)
    attributes = attributes.removesuffix(")")
    return f"{name}({inputs}{', ' if inputs and attributes else ''}{attributes})"


def reference(value: Value | None) -> str:
    """``%name``, ``@name`` or ``none``."""
    return "none" if value is None else ("@" if value.is_constant else "%") + _quoted(value.name)


def quant_text(quant: QuantParams) -> str:
    """All of a quantisation: ``int8(scale=0.05, zero_point=-3)``; tuples of scales and zero points along an axis."""
    scale = [_number(s) for s in quant.scale]
    zero = [str(z) for z in quant.zero_point]
    parts = []
    if quant.axis is not None:
        parts.append(f"axis={quant.axis}")
    parts.append(f"scale={_one_or_all(scale, quant)}")
    parts.append(f"zero_point={zero[0] if len(set(zero)) == 1 else _one_or_all(zero, quant)}")
    if quant.narrow:
        parts.append("narrow=True")
    return f"{quant.dtype}({', '.join(parts)})"


def _one_or_all(entries: list[str], quant: QuantParams) -> str:
    if quant.axis is None:
        return entries[0]
    return f"({', '.join(entries)}{',' if len(entries) == 1 else ''})"


def _typed(value: Value) -> str:
    return f"{reference(value)}: {value.type}{'' if value.quant is None else ' ~ ' + quant_text(value.quant)}"


def _constants(graph: Graph) -> Iterator[str]:
    names: dict[int, list[str]] = {}
    for name, value in graph.state.items():
        names.setdefault(id(value), []).append(name)
    for value in graph.constants():
        state = names.get(id(value), [])
        line = _typed(value)
        if state or value.is_trainable:
            line += " " + _mark(graph, value, state)
        elif value.tensor.numel() <= _SHOWN_ELEMENTS and not value.tensor.is_complex():
            line += f" = {_literal(value.tensor)}"
        yield line


def _mark(graph: Graph, value: Value, names: list[str]) -> str:
    """What a constant is in the source's state."""
    if value.is_trainable:
        word = "parameter" if value.tensor.requires_grad else "frozen"
    else:
        word = "transient" if names == [value.name] and value.name in graph.transient else "buffer"
    if names == [value.name] or not names:
        return word
    return f"{word}({', '.join(('transient ' if name in graph.transient else '') + _quoted(name) for name in names)})"


def _quoted(name: str) -> str:
    return name if re.fullmatch(BARE_NAME, name) else json.dumps(name)


def _number(value: float) -> str:
    """The shortest decimal that reads back as the same float32."""
    return str(np.float32(value))


def _literal(tensor: torch.Tensor) -> str:
    def text(item: Any) -> str:
        if isinstance(item, list):
            return f"[{', '.join(text(part) for part in item)}]"
        short = isinstance(item, float) and tensor.dtype != torch.float64
        return _number(item) if short else repr(item)

    return text(tensor.tolist())
