"""Metric math: expressions over the series of other queries, and the rules of composite alarms.

Arithmetic, comparison, AND and OR, and the functions of `FUNCTIONS` (user guide, "Using math expressions with
CloudWatch metrics"). Anything else (SEARCH, ANOMALY_DETECTION_BAND, SELECT ...) is refused by `Unsupported`.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import partial, reduce
from itertools import pairwise
from typing import Any

from mlplat.localcloud.cloudwatch.series import Values

Series = Values | float
"""A value for each period, or one for all."""


class Unsupported(Exception):
    """The expression can't be read, or the local cloud doesn't have what it asks for; the text says which."""


def parse(text: str) -> ast.expr:
    """The expression as a tree of which every part is known. Raises Unsupported."""
    python = re.sub(r"\bAND\b|&&", " and ", re.sub(r"\bOR\b|\|\|", " or ", text.strip())).replace("^", "**")
    try:
        tree = ast.parse(python, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unsupported(f"The expression {text} can't be read") from error
    for node in ast.walk(tree):
        _check(node, text)
    return tree


def names(tree: ast.expr) -> set[str]:
    """The ids that the expression speaks of."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}
    return found - {"REPEAT"}


def evaluate(tree: ast.expr, series: Mapping[str, Values], periods: int, seconds: int) -> Values:
    """The expression's value in each period of so many seconds."""
    return _series(_Evaluation(series, periods, seconds).of(tree), periods)


class _Evaluation:
    def __init__(self, given: Mapping[str, Values], periods: int, seconds: int) -> None:
        self._given, self._periods, self._seconds = given, periods, seconds

    def of(self, node: ast.expr) -> Series:
        match node:
            case ast.Constant(value=value):
                return float(str(value))
            case ast.Name(id=name):
                return self._given[name]
            case ast.UnaryOp(operand=operand):
                return _each(operator.neg, self.of(operand))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._called(name, arguments)
        return self._joined(node)

    def _joined(self, node: ast.expr) -> Series:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return _each(_ARITHMETIC[type(op)], self.of(left), self.of(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return _each(_COMPARISONS[type(op)], self.of(left), self.of(right))
            case ast.BoolOp(op=op, values=parts):
                work = _and if isinstance(op, ast.And) else _or
                return reduce(partial(_each, work), [self.of(each) for each in parts])
        raise AssertionError(node)  # `parse` lets nothing else through

    def _called(self, name: str, arguments: list[ast.expr]) -> Series:
        if name == "FILL":
            return self._filled(self.of(arguments[0]), arguments[1])
        if name in ("RATE", "DIFF"):
            change = _differences(_series(self.of(arguments[0]), self._periods))
            return _each(lambda value: value / self._seconds, change) if name == "RATE" else change
        if name in _OVER_LISTS and isinstance(arguments[0], ast.List):
            return FUNCTIONS[name]([_series(self.of(each), self._periods) for each in arguments[0].elts])
        return FUNCTIONS[name](*(self.of(each) for each in arguments))

    def _filled(self, value: Series, filler: ast.expr) -> Values:
        given = _series(value, self._periods)
        if isinstance(filler, ast.Name) and filler.id == "REPEAT":
            last: float | None = None
            return [last := each if each is not None else last for each in given]
        instead = _series(self.of(filler), self._periods)
        return [each if each is not None else other for each, other in zip(given, instead, strict=True)]


def _each(work: Callable[..., float], *inputs: Series) -> Series:
    """Period by period; nothing where one of the inputs is nothing, or the work can't be done."""
    if all(isinstance(each, float) for each in inputs):
        return _tried(work, *inputs) or 0.0
    count = max(len(each) for each in inputs if isinstance(each, list))
    rows = zip(*(_series(each, count) for each in inputs), strict=True)
    return [None if None in row else _tried(work, *row) for row in rows]


def _tried(work: Callable[..., float], *values: Any) -> float | None:
    try:
        return float(work(*values))
    except (ZeroDivisionError, OverflowError, ValueError, TypeError):
        return None


def _series(value: Series, count: int) -> Values:
    return value if isinstance(value, list) else [value] * count


def _differences(values: Values) -> Values:
    return [None, *(None if a is None or b is None else b - a for a, b in pairwise(values))]


def _over(work: Callable[[list[float]], float]) -> Callable[[Any], Series]:
    """A function that takes a list of series to a series, and one series to a number."""

    def function(given: Any) -> Series:
        if isinstance(given, list) and given and isinstance(given[0], list):
            rows = zip(*given, strict=True)
            known = [[value for value in row if value is not None] for row in rows]
            return [work(row) if row else None for row in known]
        values = [each for each in given if each is not None] if isinstance(given, list) else [given]
        return work(values) if values else [None]

    return function


def _if(condition: Series, then: Series, otherwise: Series | None = None) -> Series:
    count = max((len(each) for each in (condition, then, otherwise) if isinstance(each, list)), default=1)
    chosen = zip(_series(condition, count), _series(then, count), _series_or_none(otherwise, count), strict=True)
    return [None if test is None else yes if test else no for test, yes, no in chosen]


def _series_or_none(value: Series | None, count: int) -> Values:
    return [None] * count if value is None else _series(value, count)


def _and(a: float, b: float) -> float:
    return float(bool(a) and bool(b))


def _or(a: float, b: float) -> float:
    return float(bool(a) or bool(b))


_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_OVER_LISTS = frozenset({"SUM", "AVG", "MIN", "MAX", "STDDEV"})


def _deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((each - mean) ** 2 for each in values) / len(values))


FUNCTIONS: dict[str, Callable[..., Series]] = {
    "ABS": lambda value: _each(abs, value),
    "CEIL": lambda value: _each(math.ceil, value),
    "FLOOR": lambda value: _each(math.floor, value),
    "LOG": lambda value: _each(math.log, value),
    "LOG10": lambda value: _each(math.log10, value),
    "IF": _if,
    "SUM": _over(sum),
    "AVG": _over(lambda values: sum(values) / len(values)),
    "MIN": _over(min),
    "MAX": _over(max),
    "STDDEV": _over(_deviation),
    "FILL": lambda *_: 0.0,
    "RATE": lambda *_: 0.0,
    "DIFF": lambda *_: 0.0,
}
"""The last three are done by `_Evaluation`, which knows the periods."""

_COUNTS = {"IF": (2, 3), "FILL": (2,)}

_KNOWN = (
    ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.Compare, ast.BoolOp, ast.Call, ast.List, ast.operator,
    ast.cmpop, ast.boolop, ast.unaryop, ast.expr_context,
)  # fmt: skip


def _check(node: ast.AST, text: str) -> None:
    told = f"The local cloud can't evaluate the expression {text}"
    if not isinstance(node, _KNOWN):
        raise Unsupported(told)
    if isinstance(node, ast.Constant) and (isinstance(node.value, bool) or not isinstance(node.value, int | float)):
        raise Unsupported(f"{told}: {node.value!r} is no number")
    if isinstance(node, ast.BinOp) and type(node.op) not in _ARITHMETIC:
        raise Unsupported(told)
    if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.USub):
        raise Unsupported(told)
    if isinstance(node, ast.Compare) and (len(node.ops) != 1 or type(node.ops[0]) not in _COMPARISONS):
        raise Unsupported(told)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS or node.keywords:
            raise Unsupported(f"{told}: it has no function {name}")
        if len(node.args) not in _COUNTS.get(name, (1,)):
            raise Unsupported(f"{told}: {name} takes another number of arguments")
