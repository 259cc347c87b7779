"""The rules of composite alarms: ALARM("a") AND NOT (OK("b") OR INSUFFICIENT_DATA("c"))."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from mlplat.localcloud.cloudwatch.expressions import Unsupported

_ABOUT = re.compile(r"\b(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:\"([^\"]+)\"|'([^']+)'|([^\s()\"']+))\s*\)")
_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "TRUE": "True", "FALSE": "False"}


class Rule:
    """A rule that can be read. Raises Unsupported."""

    def __init__(self, text: str) -> None:
        self.alarms: list[tuple[str, str]] = []
        """(state, name) of each alarm that the rule speaks of."""
        named = _ABOUT.sub(self._name, text)
        named = re.sub(r"\b(AND|OR|NOT|TRUE|FALSE)\b", lambda found: _WORDS[found[1]], named)
        try:
            self._tree = ast.parse(named.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Unsupported(f"The alarm rule {text} can't be read") from error
        known = (ast.BoolOp, ast.UnaryOp, ast.Name, ast.Constant, ast.And, ast.Or, ast.Not, ast.Load)
        if not all(isinstance(node, known) for node in ast.walk(self._tree)):
            raise Unsupported(f"The alarm rule {text} can't be read")

    def holds(self, state_of: Callable[[str], str]) -> bool:
        """Whether the rule holds; `state_of` tells an alarm's state by its name."""
        return self._holds(self._tree, state_of)

    def _name(self, found: re.Match[str]) -> str:
        name = found[2] or found[3] or found[4]
        self.alarms.append((found[1], name.rpartition(":alarm:")[2]))
        return f" _{len(self.alarms) - 1} "

    def _holds(self, node: ast.expr, state_of: Callable[[str], str]) -> bool:
        match node:
            case ast.Constant(value=value):
                return bool(value)
            case ast.Name(id=name):
                state, alarm = self.alarms[int(name[1:])]
                return state_of(alarm) == state
            case ast.UnaryOp(operand=operand):
                return not self._holds(operand, state_of)
            case ast.BoolOp(op=op, values=parts):
                return (all if isinstance(op, ast.And) else any)(self._holds(each, state_of) for each in parts)
        raise AssertionError(node)  # the constructor lets nothing else through
