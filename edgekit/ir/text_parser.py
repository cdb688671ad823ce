"""Reads the text form of a graph; the form is described in ``edgekit.ir.text``."""

from __future__ import annotations

import ast
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from edgekit.errors import EdgekitError, InputError
from edgekit.ir.graph import Graph, Value
from edgekit.ir.ops.base import OPS, Op
from edgekit.ir.quant import QuantParams
from edgekit.ir.types import Batch, N, TensorType, dtype_name

#: A name that needs no quotes.
BARE_NAME = r"[A-Za-z0-9_./-]+"

#: Gives a constant's data where the text does not: tensors by name, or a function of name and type.
Constants = Mapping[str, torch.Tensor] | Callable[[str, TensorType], torch.Tensor]

_NAME = rf'(?:{BARE_NAME}|"(?:[^"\\]|\\.)*")'
_MARKS = ("parameter", "frozen", "buffer", "transient")


def parse(text: str, constants: Constants | None = None) -> Graph:
    """The graph that a text describes.

    Types of computed values may be left out; where they are given, they must be what the ops infer. Constants without data in
    the text take it from ``constants``; what that lacks (or everything, where it is None) is random: the same for the same name
    and type, standard normal for floats, 0 or 1 for integers, and positive where the name ends in ``var``, because a variance
    is.

    Raises:
        InputError: with the number and content of the line that can't be read.
    """
    return _Parser(text, constants).graph()


def random_constant(name: str, type: TensorType) -> torch.Tensor:
    """The data that ``parse`` invents: a function of name and type alone."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name}:{type}".encode()))
    if type.is_float:
        data = torch.randn(type.at(1), generator=generator)
        return (data.abs() + 0.5 if name.endswith("var") else data).to(type.dtype)
    if type.dtype.is_complex:
        return torch.randn(type.at(1), generator=generator, dtype=type.dtype)
    return torch.randint(0, 2, type.at(1), generator=generator).to(type.dtype)


@dataclass(frozen=True)
class _Target:
    """What stands left of ``=``, or in the brackets of the first line: a name, and its type and quantisation where given."""

    sigil: str
    name: str
    type: TensorType | None
    quant: QuantParams | None
    mark: str


class _Parser:
    def __init__(self, text: str, constants: Constants | None) -> None:
        self.statements = list(_statements(text))
        self.constants = constants
        self.known: dict[str, Value] = {}
        self.result = Graph()

    def graph(self) -> Graph:
        if not self.statements:
            raise InputError("an empty text is no graph", hint="begin with 'graph name(%x: float32[N,3])'")
        for index, (number, line) in enumerate(self.statements):
            last = index == len(self.statements) - 1
            try:
                self._statement(line, first=index == 0, last=last)
            except EdgekitError as error:
                raise InputError(error.what, where=f"line {number}: {line}", hint=error.hint) from error
            except (ValueError, TypeError, KeyError, AssertionError, RuntimeError, IndexError, SyntaxError) as error:
                raise InputError(str(error) or repr(error), where=f"line {number}: {line}") from error
        return self.result

    def _statement(self, line: str, first: bool, last: bool) -> None:
        if first:
            self._header(line)
        elif line == "return" or line.startswith("return "):
            if not last:
                raise ValueError("'return' is the last line of a graph")
            self.result.outputs = [self._operand(part) for part in _split(line[len("return") :]) if part]
        elif last:
            raise ValueError("a graph ends with 'return %value, ...'")
        elif line.startswith("@"):
            self._constant(line)
        else:
            self._node(line)

    def _header(self, line: str) -> None:
        match = re.fullmatch(rf"graph ({_NAME})\((.*)\)", line, re.DOTALL)
        if match is None:
            raise ValueError("a graph begins with 'graph name(%input: type, ...)'")
        self.result.name = _unquoted(match[1])
        for part in _split(match[2]):
            target = _target(part)
            if target.sigil != "%" or target.type is None:
                raise ValueError(f"an input is '%name: type', not '{part}'")
            self._define(target, self.result.add_input(target.name, target.type))

    def _constant(self, line: str) -> None:
        head, _, literal = _cut(line, "=")
        target = _target(head)
        if target.type is None or target.type.has_batch:
            raise ValueError("a constant is '@name: type' with fixed dimensions")
        if literal.strip():
            data = torch.tensor(_evaluate(literal), dtype=target.type.dtype).reshape(target.type.at(1))
        else:
            data = self._data(target.name, target.type)
        word, _, bracket = target.mark.partition("(")
        if word in ("parameter", "frozen"):
            data = nn.Parameter(data, requires_grad=word == "parameter")
        if not word:
            self._define(target, self.result.constant(data, target.name))
            return
        names = _split(bracket.removesuffix(")")) or [f"{'transient ' if word == 'transient' else ''}{json.dumps(target.name)}"]
        value: Value | None = None
        for name in names:
            transient, name = name.startswith("transient "), _unquoted(name.removeprefix("transient ").strip())
            if value is None:
                value = Value(self.result.unique_name(target.name), TensorType.of(data), data)
            if name in self.result.state:
                raise ValueError(f"two constants are '{name}' in the state")
            self.result.add_state(name, value, transient=transient)
        assert value is not None
        self._define(target, value)

    def _data(self, name: str, type: TensorType) -> torch.Tensor:
        data: torch.Tensor | None = None
        if callable(self.constants):
            data = self.constants(name, type)
        elif self.constants is not None:
            data = self.constants.get(name)
        if data is None:
            return random_constant(name, type)
        if TensorType.of(data) != type:
            raise ValueError(f"the data given for @{name} is {dtype_name(data.dtype)}{list(data.shape)}, not {type}")
        return data

    def _node(self, line: str) -> None:
        left, sign, right = _cut(line, "=")
        match = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", right, re.DOTALL)
        if not sign or match is None:
            raise ValueError("expected '%result: type = op(%input, ..., attribute=value)'")
        operands: list[Value | None] = []
        attributes: dict[str, Any] = {}
        for part in _split(match[2]):
            if part == "none" or part[0] in "%@":
                if attributes:
                    raise ValueError(f"the input {part} comes after an attribute")
                operands.append(None if part == "none" else self._operand(part))
            else:
                key, sign, value = _cut(part, "=")
                if not sign:
                    raise ValueError(f"'{part}' is neither an input (%name, @name, none) nor 'attribute=value'")
                attributes[key.strip()] = _evaluate(value)
        op = _op(match[1], attributes)
        _check_arity(op, operands)
        node = self.result.add_node(op, operands)
        targets = [_target(part) for part in _split(left)]
        if len(targets) != len(node.outputs):
            raise ValueError(f"'{op.name}' has {len(node.outputs)} results here, not {len(targets)}")
        for target, output in zip(targets, node.outputs, strict=True):
            if target.sigil != "%":
                raise ValueError(f"a result is '%name', not '{target.sigil}{target.name}'")
            if target.type is not None and target.type != output.type:
                raise ValueError(f"%{target.name} is declared {target.type} but computed {output.type}")
            self.result._names.discard(output.name)
        for target, output in zip(targets, node.outputs, strict=True):
            output.name = self.result.unique_name(target.name)
            self._define(target, output)

    def _define(self, target: _Target, value: Value) -> None:
        if target.name in self.known:
            raise ValueError(f"'{target.name}' is defined twice")
        value.quant = target.quant
        self.known[target.name] = value

    def _operand(self, text: str) -> Value:
        match = re.fullmatch(rf"([%@])({_NAME})", text.strip())
        if match is None:
            raise ValueError(f"'{text}' is no value: write %name or @name")
        name = _unquoted(match[2])
        value = self.known.get(name)
        if value is None or value.is_constant != (match[1] == "@"):
            near = get_close_matches(name, self.known, 1)
            raise InputError(f"{match[1]}{name} is not defined above", hint=f"did you mean {near[0]}?" if near else None)
        return value


def _op(name: str, attributes: dict[str, Any]) -> Op:
    if name not in OPS:
        near = get_close_matches(name, OPS, 1)
        raise InputError(f"no op is called '{name}'", hint=f"did you mean '{near[0]}'?" if near else "`edgekit ops` lists them")
    try:
        return OPS[name](**attributes)
    except TypeError as error:
        raise ValueError(f"'{name}': {str(error).partition('() ')[2] or error}") from error


def _check_arity(op: Op, operands: list[Value | None]) -> None:
    for index, declared in enumerate(op.inputs):
        if declared.startswith("*"):
            return
        given = operands[index] if index < len(operands) else None
        if given is None and not declared.endswith("?"):
            raise ValueError(f"'{op.name}' needs its input '{declared}'")
    if len(operands) > len(op.inputs):
        raise ValueError(f"'{op.name}' takes at most {len(op.inputs)} inputs, not {len(operands)}")


def _target(text: str) -> _Target:
    """``%name: type ~ quant`` or, for a constant, with a mark behind."""
    pattern = rf"([%@])({_NAME})(?:\s*:\s*(\w+\[[^\]]*\])\s*(?:~\s*(\w+\([^~]*?\)))?\s*((?:{'|'.join(_MARKS)})(?:\(.*\))?)?)?"
    match = re.fullmatch(pattern, text.strip(), re.DOTALL)
    if match is None:
        raise ValueError(f"'{text.strip()}' is not '%name: type' or '@name: type'")
    sigil, name, type, quant, mark = match.groups()
    return _Target(
        sigil,
        _unquoted(name),
        None if type is None else TensorType.parse(type),
        None if quant is None else _quant(quant),
        mark or "",
    )


def _quant(text: str) -> QuantParams:
    dtype, _, bracket = text.partition("(")
    fields = {key.strip(): _evaluate(value) for key, _, value in (_cut(p, "=") for p in _split(bracket.removesuffix(")")))}
    unknown = set(fields) - {"axis", "scale", "zero_point", "narrow"}
    if unknown or "scale" not in fields:
        raise ValueError(f"a quantisation is 'int8(scale=..., zero_point=...)' with optional axis and narrow, not '{text}'")
    scale, zero = fields["scale"], fields.get("zero_point", 0)
    scale = scale if isinstance(scale, tuple) else (float(scale),)
    zero = zero if isinstance(zero, tuple) else (zero,) * len(scale)
    return QuantParams(dtype, scale, zero, fields.get("axis"), fields.get("narrow", False))


# ---------------------------------------------------------------------- characters


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """(number of the first line, text) of every statement: comments taken out, lines joined while a bracket is open."""
    start, buffer, depth = 0, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        code = "".join(char for char, _ in _characters(line)).strip()
        if not code:
            continue
        start, buffer = (start, f"{buffer} {code}") if buffer else (number, code)
        depth += sum({"(": 1, "[": 1, ")": -1, "]": -1}.get(c, 0) for c, quoted in _characters(code) if not quoted)
        if depth <= 0:
            yield start, buffer
            buffer, depth = "", 0
    if buffer:
        raise InputError("a bracket is never closed", where=f"line {start}: {buffer}")


def _characters(line: str) -> Iterator[tuple[str, bool]]:
    """Each character and whether it stands in quotes; ends at a comment."""
    quote = ""
    escaped = False
    for char in line:
        if not quote and char == "#":
            return
        inside = bool(quote)
        if quote:
            if char == quote and not escaped:
                quote = ""
            escaped = char == "\\" and not escaped
        elif char in "\"'":
            quote, inside, escaped = char, True, False
        yield char, inside


def _split(text: str) -> list[str]:
    """Parts between the commas that stand in no bracket and no quotes."""
    parts, depth = [""], 0
    for char, quoted in _characters(text):
        depth += 0 if quoted else {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _cut(text: str, sign: str) -> tuple[str, str, str]:
    """``str.partition`` at the first ``sign`` that stands in no bracket and no quotes."""
    depth = 0
    for index, (char, quoted) in enumerate(_characters(text)):
        depth += 0 if quoted else {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if char == sign and depth == 0 and not quoted:
            return text[:index], sign, text[index + 1 :]
    return text, "", ""


def _unquoted(name: str) -> str:
    return str(json.loads(name)) if name.startswith('"') else name


def _evaluate(text: str) -> Any:
    """A literal: numbers, strings, None, tuples, ``inf``, ``nan``, ``N`` and ``16*N``."""
    text = text.strip()
    try:
        return _literal(ast.parse(text, mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"'{text}' is no literal") from error


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Tuple(items):
            return tuple(_literal(item) for item in items)
        case ast.List(items):
            return [_literal(item) for item in items]
        case ast.Name("N"):
            return N
        case ast.Name("inf" | "nan" as name):
            return float(name)
        case ast.UnaryOp(ast.USub(), operand):
            return -_literal(operand)
        case ast.BinOp(ast.Constant(int(multiple)), ast.Mult(), ast.Name("N")):
            return Batch(multiple)
    raise ValueError(f"'{ast.unparse(node)}' is no literal: numbers, strings, None, tuples and multiples of N are")
