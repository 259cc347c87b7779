"""Filter patterns of CloudWatch Logs: which log events are meant, and which values they hold.

User guide, "Filter pattern syntax": terms (`ERROR -Exiting`, `?ERROR ?WARN`, `"exact phrase"`), regular expressions
(`%ERR(OR)?%`), JSON (`{ $.code = 4* && $.user IS NULL }`) and fields between spaces (`[ip, user, status = 4*, ...]`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mlplat.localcloud.errors import AwsError

Values = Mapping[str, Any]
"""What an event holds, by the names that the pattern gives (`$.code`, `$status`)."""
Matcher = Callable[[str], Values | None]
"""The values of an event that matches, or None."""

_TERM = re.compile(r'\s*(?P<sign>[?-]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|(?P<word>[^\s"]+))')
_TOKEN = re.compile(
    r"""\s*(?:(?P<symbol>\(|\)|&&|\|\||!=|<=|>=|=|<|>)
        |(?P<selector>\$(?:\.[\w\-@]+|\.?\['[^']*'\]|\[(?:\d+|\*)\])+)
        |"(?P<quoted>(?:[^"\\]|\\.)*)"|%(?P<regex>[^%]*)%
        |(?P<word>[^\s()&|=<>!"%,\[\]]+))""",
    re.VERBOSE,
)
_STEP = re.compile(r"\.([\w\-@]+)|\.?\['([^']*)'\]|\[(\d+|\*)\]")
_FIELD = re.compile(r'\[(?P<bracketed>[^\]]*)\]|"(?P<quoted>[^"]*)"|(?P<word>\S+)')
_REGEX = re.compile(r"[A-Za-z0-9:_#=@/;,\- ^$?\[\]{}|\\*+.]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
WORDS = frozenset({"TRUE", "FALSE", "NULL", "EXISTS", "IS", "NOT"})


@cache
def matcher(pattern: str) -> Matcher:
    """What finds the events of a pattern. Raises InvalidParameterException, as AWS does, when it isn't one."""
    text = pattern.strip()
    if text.startswith("{"):
        return _of_json(text)
    if text.startswith("["):
        return _of_fields(text)
    if len(text) > 1 and text.startswith("%") and text.endswith("%"):
        expression = _expression(text[1:-1])
        return lambda message: {} if expression.search(message) else None
    return _of_terms(text)


def value_of(message: str, selector: str, values: Values) -> Any:
    """What `$.latency` (of JSON) or `$bytes` (a field) is in an event that matched; None when it has no such thing."""
    if selector.startswith(("$.", "$[")):
        found = _selected(_read(message), selector)
        return found[0] if found else None
    return values.get(selector)


def invalid(why: str = "Invalid filter pattern") -> AwsError:
    """The wordings are not verified."""
    return AwsError("InvalidParameterException", why)


def _of_terms(text: str) -> Matcher:
    wanted, excluded, optional, at = list[str](), list[str](), list[str](), 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None:
            raise invalid()
        word = found["word"] if found["phrase"] is None else re.sub(r"\\(.)", r"\1", found["phrase"])
        if found["phrase"] is None and not re.fullmatch(r"\w+", word):
            raise invalid(f"Invalid character(s) in term '{word}'")
        {"": wanted, "-": excluded, "?": optional}[found["sign"]].append(word)
        at = found.end() if text[found.end() :].strip() else len(text)
    either = [] if wanted or excluded else optional  # beside other terms those with ? are ignored

    def match(message: str) -> Values | None:
        hit = all(each in message for each in wanted) and not any(each in message for each in excluded)
        return {} if hit and (not either or any(each in message for each in either)) else None

    return match


@dataclass
class _Tokens:
    """What is left of an expression."""

    left: list[tuple[str, str]]

    @classmethod
    def of(cls, text: str) -> _Tokens:
        found, at = list[tuple[str, str]](), 0
        while text[at:].strip():
            token = _TOKEN.match(text, at)
            if token is None or token.lastgroup is None:
                raise invalid()
            found.append((token.lastgroup, token[token.lastgroup]))
            at = token.end()
        return cls(found)

    def peek(self) -> str:
        return self.left[0][1] if self.left and self.left[0][0] in ("symbol", "word") else ""

    def take(self, *wanted: str) -> bool:
        if self.peek() not in wanted:
            return False
        self.left.pop(0)
        return True

    def next(self) -> tuple[str, str]:
        if not self.left:
            raise invalid()
        return self.left.pop(0)


Condition = Callable[[Callable[[str], list[Any]]], bool]
"""Whether an event is meant, given what finds the values of a name."""


def _either(tokens: _Tokens, of: Callable[[_Tokens], Condition]) -> Condition:
    parts = [_both(tokens, of)]
    while tokens.take("||"):
        parts.append(_both(tokens, of))
    return lambda find: any(each(find) for each in parts)


def _both(tokens: _Tokens, of: Callable[[_Tokens], Condition]) -> Condition:
    parts = [_one(tokens, of)]
    while tokens.take("&&"):
        parts.append(_one(tokens, of))
    return lambda find: all(each(find) for each in parts)


def _one(tokens: _Tokens, of: Callable[[_Tokens], Condition]) -> Condition:
    if not tokens.take("("):
        return of(tokens)
    inner = _either(tokens, of)
    if not tokens.take(")"):
        raise invalid()
    return inner


def _comparison(tokens: _Tokens) -> Condition:
    kind, name = tokens.next()
    if kind not in ("selector", "word") or name in WORDS:
        raise invalid()
    if tokens.take("IS"):
        wanted = {"TRUE": True, "FALSE": False, "NULL": None}
        word = tokens.next()[1]
        if word not in wanted:
            raise invalid()
        return lambda find: any(each is wanted[word] for each in find(name))
    if tokens.take("NOT"):
        if not tokens.take("EXISTS"):
            raise invalid()
        return lambda find: not find(name)
    operator = tokens.next()[1] if tokens.peek() in ("=", "!=", "<", ">", "<=", ">=") else ""
    compare = _compared(operator, *tokens.next()) if operator else None
    if compare is None:
        raise invalid()
    return lambda find: any(compare(each) for each in find(name))


def _compared(operator: str, kind: str, text: str) -> Callable[[Any], bool]:
    """Numbers as numbers; text with `*`; other operators than = and != on text are no pattern."""
    if operator not in ("=", "!="):
        if kind != "word" or not _NUMBER.fullmatch(text):
            raise invalid()
        return lambda value: _ordered(operator, _number(value), float(text))
    if kind == "symbol":
        raise invalid()
    if kind == "word" and _NUMBER.fullmatch(text):
        return lambda value: (_number(value) == float(text)) is (operator == "=")
    wild = _expression(text) if kind == "regex" else re.compile(re.escape(text).replace(r"\*", ".*"), re.DOTALL)
    match = wild.search if kind == "regex" else wild.fullmatch
    return lambda value: (
        (match(value if isinstance(value, str) else json.dumps(value)) is not None) is (operator == "=")
    )


def _ordered(operator: str, value: float | None, bound: float) -> bool:
    if value is None:
        return False
    return {"<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound}[operator]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not _NUMBER.fullmatch(str(value)):
        return None
    return float(value)


def _expression(text: str) -> re.Pattern[str]:
    """Only what the user guide lists, which leaves out parentheses."""
    if not _REGEX.fullmatch(text):
        raise invalid("Invalid character(s) in regular expression.")
    try:
        return re.compile(text)
    except re.error as error:
        raise invalid() from error


def _of_json(text: str) -> Matcher:
    if not text.endswith("}"):
        raise invalid()
    tokens = _Tokens.of(text[1:-1])
    selectors = [name for kind, name in tokens.left if kind == "selector"]
    condition = _either(tokens, _comparison)
    if tokens.left or not selectors:
        raise invalid()

    def match(message: str) -> Values | None:
        event = _read(message)
        if event is None or not condition(lambda name: _selected(event, name)):
            return None
        return {name: found[0] for name in selectors if (found := _selected(event, name))}

    return match


def _read(message: str) -> Any:
    try:
        event = json.loads(message)
    except ValueError:
        return None
    return event if isinstance(event, dict | list) else None


def _selected(event: Any, selector: str) -> list[Any]:
    """The values at a place; several behind `[*]`."""
    found = [event]
    for step in _STEP.finditer(selector):
        key, quoted, index = step.groups()
        if index == "*":
            found = [item for each in found if isinstance(each, list) for item in each]
        elif index is not None:
            found = [each[int(index)] for each in found if isinstance(each, list) and int(index) < len(each)]
        else:
            name = key if key is not None else quoted
            found = [each[name] for each in found if isinstance(each, dict) and name in each]
    return found


def _of_fields(text: str) -> Matcher:
    """One part for each field; `...` stands for as many as there are."""
    if not text.endswith("]"):
        raise invalid()
    parts = [each.strip() for each in text[1:-1].split(",")]
    if parts.count("...") > 1 or not all(parts):
        raise invalid()
    read = {part: _field(part) for part in parts if part != "..."}

    def match(message: str) -> Values | None:
        fields = [next(each for each in found.groups() if each is not None) for found in _FIELD.finditer(message)]
        missing = len(fields) - len(read)
        if missing < 0 or (missing > 0 and "..." not in parts):
            return None
        values, at = dict[str, Any](), 0
        for part in parts:
            if part == "...":
                at += missing
                continue
            name, condition = read[part]
            value = fields[at]
            if not condition(lambda _, value=value: [value]):  # type: ignore[misc]
                return None
            values[f"${name}"] = value
            at += 1
        return values

    return match


def _field(part: str) -> tuple[str, Condition]:
    tokens = _Tokens.of(part)
    name = next((text for kind, text in tokens.left if kind == "word"), "")
    if len(tokens.left) == 1:
        return name, lambda _: True
    condition = _either(tokens, _comparison)
    if tokens.left:
        raise invalid()
    return name, condition
