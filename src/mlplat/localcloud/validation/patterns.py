"""The regular expressions of the service models, which are Java's, in Python's words."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

CLASSES = {"Alnum": "a-zA-Z0-9", "ASCII": r"\x00-\x7f", "Print": r"\x20-\x7e"}
"""Java's POSIX classes; all other `\\p{...}` in the models are Unicode's general categories."""

ANYTHING = ".*"
"""The pattern that every value matches."""

ASTRAL = r"\uD800\uDC00-\uDBFF\uDFFF"
"""How Java's UTF-16 says: everything above U+FFFF."""


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """What the whole value must match: AWS's validation asks for a full match. A dot is any character: `.*\\S.*` is
    how Glue's model describes schemas and descriptions, which have lines (its developer guide's examples do)."""
    return re.compile(translated(pattern), re.DOTALL)


@cache
def translated(pattern: str) -> str:
    """The same pattern as Python writes it."""
    python = pattern.replace(ASTRAL, r"\U00010000-\U0010FFFF")
    python = re.sub(r"^\\p\{(\w+)\}", lambda match: f"[{_class(match[1])}]", python)  # all others stand in brackets
    python = re.sub(r"\\p\{(\w+)\}", lambda match: _class(match[1]), python)
    python = re.sub(r"\$\{\d+,\d+\}", "$", python)  # a repeated end is an end
    return python.replace(r"\z", r"\Z").replace(r"[\w-_]", r"[\w_-]")


@cache
def _class(name: str) -> str:
    """What `\\p{name}` is inside brackets."""
    if name in CLASSES:
        return CLASSES[name]
    found = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith(name)]
    spans: list[list[int]] = []
    for code in found:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in spans)
