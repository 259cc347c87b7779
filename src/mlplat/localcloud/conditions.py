"""Conditions of IAM statements, and the variables and wildcards that policies are written with.

IAM user guide, "Condition operators" and "Policy variables". A key that the request lacks meets only the opposites,
`Null`, `...IfExists` and `ForAllValues:`.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

log = logging.getLogger(__name__)

Context = Mapping[str, Sequence[str]]
"""Condition keys in lower case, each with its values."""

_VARIABLE = re.compile(r"\$\{\s*(?P<key>[^},]+?)\s*(?:,\s*'(?P<default>[^']*)'\s*)?\}")
_LITERAL = ("*", "?", "$")
"""What `${*}`, `${?}` and `${$}` stand for."""


@dataclass(frozen=True)
class Pattern:
    """What a policy compares with: pieces of text, each with whether its `*` and `?` are wildcards."""

    pieces: tuple[tuple[str, bool], ...]

    @property
    def text(self) -> str:
        """Everything taken literally."""
        return "".join(text for text, _ in self.pieces)

    def matches(self, value: str) -> bool:
        """With `*` and `?`; what a variable stands for is taken literally."""
        expression = "".join(_wild(text) if wild else re.escape(text) for text, wild in self.pieces)
        return re.fullmatch(expression, value, re.DOTALL) is not None

    def lower(self) -> Pattern:
        """The same without case."""
        return Pattern(tuple((text.lower(), wild) for text, wild in self.pieces))


def pattern(written: str, context: Context | None) -> Pattern | None:
    """Read with its variables' values; None when one has none. Without a context `${...}` is text like any other."""
    if context is None or "${" not in written:
        return Pattern(((written, True),))
    pieces, end = list[tuple[str, bool]](), 0
    for found in _VARIABLE.finditer(written):
        value = _value(found["key"], found["default"], context)
        if value is None:
            return None
        pieces += [(written[end : found.start()], True), (value, False)]
        end = found.end()
    return Pattern((*pieces, (written[end:], True)))


def _value(key: str, default: str | None, context: Context) -> str | None:
    """Keys with several values can't be variables (user guide, "Policy variables")."""
    if key in _LITERAL:
        return key
    values = context.get(key.lower(), ())
    return values[0] if len(values) == 1 else default


def _wild(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


def holds(
    conditions: Mapping[str, Mapping[str, Any]],
    context: Context,
    missing: set[str] | None = None,
    *,
    variables: bool = False,
) -> bool:
    """Whether all conditions of a statement hold; keys that the context lacks are added to `missing`."""
    return all(
        _holds(operator, key, _patterns(wanted, context if variables else None), context, missing)
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def listed(value: Any) -> list[Any]:
    """A value that policies may write alone or in a list."""
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _patterns(wanted: Any, context: Context | None) -> list[Pattern]:
    """Those whose variables have values: a comparison with one that has none is never true."""
    found = [pattern(_text(each), context) for each in listed(wanted)]
    return [each for each in found if each is not None]


def _holds(operator: str, key: str, wanted: list[Pattern], context: Context, missing: set[str] | None) -> bool:
    quantifier, _, name = operator.rpartition(":")
    name, optional, present = name.removesuffix("IfExists"), name.endswith("IfExists"), context.get(key.lower())
    if name == "Null":
        return (present is None) == (wanted[0].text == "true")
    compare, opposite = _OPERATORS.get(name.replace("Not", "")), "Not" in name
    if compare is None:
        log.warning("a policy uses %s, which the local cloud can't evaluate: its statement is ignored", operator)
        return False
    if present is None:
        if missing is not None:
            missing.add(key)
        return optional or opposite or quantifier == "ForAllValues"
    results = [any(compare(value, each) for each in wanted) is not opposite for value in present]
    return all(results) if quantifier == "ForAllValues" or (opposite and not quantifier) else any(results)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _same(value: str, wanted: Pattern) -> bool:
    return value == wanted.text


def _alike(value: str, wanted: Pattern) -> bool:
    return value.casefold() == wanted.text.casefold()


def _like(value: str, wanted: Pattern) -> bool:
    return wanted.matches(value)


def _of(read: Callable[[str], Any], compare: Callable[[Any, Any], bool]) -> Callable[[str, Pattern], bool]:
    """A comparison of what the texts mean; never true of a text that means nothing."""

    def compared(value: str, wanted: Pattern) -> bool:
        try:
            return compare(read(value), read(wanted.text))
        except ValueError:
            return False

    return compared


def _moment(text: str) -> datetime:
    """ISO 8601, or seconds since 1970."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _network(text: str) -> Any:
    return ipaddress.ip_network(text, strict=False)


def _within(value: Any, network: Any) -> bool:
    return value.version == network.version and bool(value.subnet_of(network))


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda value, wanted: bool(value == wanted),
    "LessThan": lambda value, wanted: bool(value < wanted),
    "LessThanEquals": lambda value, wanted: bool(value <= wanted),
    "GreaterThan": lambda value, wanted: bool(value > wanted),
    "GreaterThanEquals": lambda value, wanted: bool(value >= wanted),
}

_OPERATORS: dict[str, Callable[[str, Pattern], bool]] = {
    "StringEquals": _same,
    "StringEqualsIgnoreCase": _alike,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _alike,
    "BinaryEquals": _same,
    "IpAddress": _of(_network, _within),
    **{f"Numeric{name}": _of(float, compare) for name, compare in _COMPARISONS.items()},
    **{f"Date{name}": _of(_moment, compare) for name, compare in _COMPARISONS.items()},
}
"""By operator; its opposite has `Not` before the verb."""
