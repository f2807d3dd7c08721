"""Evaluates `bantime.formula`, a Python expression, as far as it is arithmetic; nothing else is ever executed."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from monitor.filters.definition import FilterError

_MAX_CHARS = 300
_MAX_NODES = 100
_LARGEST = 1e18
_MAX_SHIFT = 62

Number = int | float

_OPERATORS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
    ast.LShift: lambda left, right: left << _shift(right),
    ast.RShift: lambda left, right: left >> _shift(right),
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "math.exp": math.exp,
    "math.log": math.log,
    "math.sqrt": math.sqrt,
    "math.pow": math.pow,
    "float": float,
    "int": int,
    "round": round,
    "abs": abs,
    "min": min,
    "max": max,
}


def evaluate(text: str, names: Mapping[str, Number]) -> float:
    """Return the value of a formula with these names (`ban.Time`); FilterError if it is not plain arithmetic."""
    try:
        return float(_value(_parsed(text), names))
    except (ValueError, ArithmeticError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise FilterError(f"{text[:80]!r} is not a formula that can be translated") from None


def _parsed(text: str) -> ast.expr:
    if len(text) > _MAX_CHARS:
        raise ValueError("too long")
    tree = ast.parse(text.strip(), mode="eval")
    if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
        raise ValueError("too complex")
    return tree.body


def _value(node: ast.expr, names: Mapping[str, Number]) -> Number:
    value = _raw_value(node, names)
    if not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
        raise ValueError("out of range")
    return value


def _raw_value(node: ast.expr, names: Mapping[str, Number]) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name() | ast.Attribute():
            if (found := names.get(_name(node))) is not None:
                return found
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, names)
        case ast.BinOp(left=left, op=op, right=right):
            return _operate(op, left, right, names)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _operate(op, left, right, names)
        case ast.IfExp(test=test, body=body, orelse=other):
            return _value(body if _value(test, names) else other, names)
        case ast.Call(func=function, args=arguments, keywords=[]) if _name(function) in _FUNCTIONS:
            result: Number = _FUNCTIONS[_name(function)](*(_value(argument, names) for argument in arguments))
            return result
    raise ValueError("unknown notation")


def _operate(op: ast.AST, left: ast.expr, right: ast.expr, names: Mapping[str, Number]) -> Number:
    function = _OPERATORS.get(type(op))
    if function is None:
        raise ValueError("unknown operator")
    result: Number = function(_value(left, names), _value(right, names))
    return result


def _name(node: ast.expr) -> str:
    """Return `x` or `x.y`; empty for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _shift(bits: int) -> int:
    if not 0 <= bits <= _MAX_SHIFT:
        raise ValueError("shifted too far")
    return bits
