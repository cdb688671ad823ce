"""What the texts of an exported program may say: torch evaluates its expressions as Python, and looks its functions up."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

#: Functions of a program: operators, and arithmetic on sizes.
_TARGET = re.compile(
    r"torch\.ops\.[a-z_0-9]+\.[A-Za-z_0-9]+(\.[A-Za-z_0-9]+)?|_operator\.[a-z_]+|math\.[a-z]+|torch\.(_)?sym_[a-z_]+"
)

#: What an operator can do beside computing: read and write files, load code, talk to other machines.
_OUTSIDE = re.compile(r"torch\.ops\.(aten\.from_file|[a-z_0-9]*(load|save|open|exec|file|rpc|c10d|distributed)[a-z_0-9]*\.)")

#: Constructors that torch writes expressions of sizes with: sympy's, and those of torch's own that end the list.
_CONSTRUCTORS = """
Symbol Integer Rational Float Add Mul Pow Max Min Abs Eq Equality Ne Unequality Lt StrictLessThan Le LessThan Gt
StrictGreaterThan Ge GreaterThan And Or Not true false True False Infinity NegativeInfinity IntInfinity NegativeIntInfinity
NumberSymbol One Zero NegativeOne Half Piecewise ExprCondPair Mod floor ceiling
FloorDiv ModularIndexing Where PythonMod CleanDiv CeilToInt FloorToInt CeilDiv LShift RShift PowByNatural FloatPow
FloatTrueDiv IntTrueDiv IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt RoundToInt RoundDecimal ToFloat Identity
BitwiseFn_bitwise_and BitwiseFn_bitwise_or BitwiseFn_bitwise_xor OpaqueUnaryFn_sqrt OpaqueUnaryFn_log2
"""
_NAMES = frozenset(_CONSTRUCTORS.split())

_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_SIZE = re.compile(r"[a-z]+\d+")
_POWERS = ("Pow", "PowByNatural", "FloatPow", "LShift", "RShift")
_LARGEST, _LARGEST_POWER, _LONGEST = 2**63, 64, 2000


def unsafe_text(content: bytes) -> str | None:
    """What in a part of JSON would do more than describe a program; None where nothing does.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        document = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    for key, value in _strings(document):
        if key == "expr_str" and not is_expression(value):
            return f"the expression '{value[:60]}'"
        if key == "target" and _is_function(value) and (not _TARGET.fullmatch(value) or _OUTSIDE.match(value)):
            return f"the function '{value[:60]}'"
    return None


def _is_function(text: str) -> bool:
    """torch looks these up among its modules; other targets are names of values."""
    return text.startswith(("torch", "_operator", "math", "#"))


def _strings(document: Any) -> Iterator[tuple[str, str]]:
    """Every text with the key that it stands under, without recursion."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((key, each) for each in value)


def is_expression(text: str) -> bool:
    """An expression of sizes as torch writes it: constructors, symbols, numbers and arithmetic, small enough to be computed."""
    if len(text) > _LONGEST:
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return _is_arithmetic(tree.body)


def _is_arithmetic(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=bool()):
            return True
        case ast.Constant(value=int() | float() as number):
            return abs(number) < _LARGEST
        case ast.Name(id=name):
            return name in _NAMES or _SIZE.fullmatch(name) is not None
        case ast.UnaryOp(operand=operand):
            return _is_arithmetic(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return _is_arithmetic(left) and _is_arithmetic(right) and (not isinstance(op, ast.Pow) or _is_small(right))
        case ast.Compare(left=left, comparators=others):
            return all(_is_arithmetic(each) for each in (left, *others))
        case ast.Tuple(elts=elements):
            return all(_is_arithmetic(each) for each in elements)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            return name in _NAMES and _are_arguments(name, arguments) and all(_is_assumption(each) for each in keywords)
    return False


def _are_arguments(name: str, arguments: list[ast.expr]) -> bool:
    if name in ("Symbol", "Float", "Integer", "Rational") and arguments and isinstance(arguments[0], ast.Constant):
        first = arguments[0].value
        if isinstance(first, str):
            known = _SYMBOL.fullmatch(first) if name == "Symbol" else re.fullmatch(r"-?[0-9.]{1,40}(e[+-]?\d{1,3})?", first)
            return known is not None and all(_is_arithmetic(each) for each in arguments[1:])
    if name in _POWERS and not all(_is_small(each) for each in arguments[1:]):
        return False
    return all(_is_arithmetic(each) for each in arguments)


def _is_small(node: ast.expr) -> bool:
    """An exponent that makes no number of millions of digits."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return abs(number) <= _LARGEST_POWER
        case ast.UnaryOp(operand=operand):
            return _is_small(operand)
        case ast.Call(func=ast.Name(id="Integer" | "Float"), args=[only]):
            return _is_small(only)
        case ast.Call(func=ast.Name(id="Rational"), args=[first, second]):
            return _is_small(first) and _is_small(second)
        case ast.Name(id="Half" | "One" | "Zero" | "NegativeOne"):
            return True
    return False


def _is_assumption(keyword: ast.keyword) -> bool:
    """``positive=True``, ``precision=53``"""
    value = keyword.value
    return keyword.arg is not None and isinstance(value, ast.Constant) and isinstance(value.value, bool | int)
