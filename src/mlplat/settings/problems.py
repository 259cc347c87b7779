"""What is wrong with the configuration, told once and in full: where, which key, which value, what is allowed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

KeyPath = tuple[str, ...]
"""A key as its parts: ("network", "zones")."""

SECRET = re.compile(
    r"secret|token|passw(or)?d|passphrase|credential|(api|access|private|signing)_?-?key", re.IGNORECASE
)
"""Keys whose values are never shown."""


@dataclass(frozen=True)
class Origin:
    """Where a value came from: a line of a file, an environment variable, a flag, or built in."""

    kind: Literal["default", "file", "environment", "flag"]
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if self.kind == "file":
            return shown_path(self.name) + (f":{self.line}" if self.line else "")
        return self.name or {"default": "built in", "flag": "command line"}.get(self.kind, self.kind)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `value` is left out (`...`) where there is none to show."""

    origin: Origin
    key: KeyPath
    reason: str
    value: Any = ...
    nearest: str | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """For sorting: files first, in the order of their lines."""
        return "" if self.origin.kind == "file" else self.origin.kind, self.origin.name, self.origin.line or 0

    def __str__(self) -> str:
        shown = "" if self.value is ... else f" = {shown_value(self.key, self.value, most=120)}"
        where = f"{dotted(self.key)}{shown}: " if self.key else ""
        guess = f'; did you mean "{self.nearest}"?' if self.nearest else ""
        return f"{self.origin}: {where}{self.reason}{guess}"


@dataclass(frozen=True)
class Refusal:
    """What a validator has against a value; `key` leads from the validated table to the value."""

    reason: str
    key: KeyPath = ()
    nearest: str | None = None


def refuse(*refusals: Refusal) -> PydanticCustomError:
    """The error that carries refusals through pydantic, which would otherwise know only one and its own words."""
    return PydanticCustomError("refused", "refused", {"refusals": refusals})


def nearest(value: str, options: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The option that somebody who typed `value` probably meant; case and `-` for `_` are forgiven first."""
    typed = _folded(value)
    scored = [(_likeness(typed, _folded(each)), each) for each in options]
    best = max(scored, key=lambda pair: pair[0], default=((0.0, False), ""))
    return best[1] if best[0][0] >= cutoff else None


def _likeness(typed: str, option: str) -> tuple[float, bool]:
    """How alike; a half that was left out (`m5.large`, `prod`) is nearly nothing, swapped letters decide a tie."""
    part = option.endswith(f".{typed}") or (len(typed) > 2 and option.startswith(typed))
    ratio = difflib.SequenceMatcher(None, typed, option).ratio()
    return max(ratio, 0.9 if part else 0.0), sorted(typed) == sorted(option)


def _folded(text: str) -> str:
    return text.casefold().replace("-", "_")


def matching(pattern: str, reason: str) -> AfterValidator:
    """A validator for text of a certain form."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise refuse(Refusal(reason))
        return value

    return AfterValidator(check)


def dotted(key: Sequence[str]) -> str:
    """A key as TOML spells it: `workloads.churn.metrics."validation:auc"`."""
    return ".".join(
        part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part, ensure_ascii=False) for part in key
    )


def shown_value(key: Sequence[str], value: Any, *, most: int | None = None) -> str:
    """A value as TOML spells it, paths from here, cut to `most` characters, hidden when its key says it is a secret."""
    if is_secret(key):
        return "***"
    value = shown_path(value) if isinstance(value, Path) or str(value).startswith("/") else value
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if most is None or len(text) <= most else text[: most - 3] + "..."


def is_secret(key: Sequence[str]) -> bool:
    """Whether the last part of the key names a secret."""
    return bool(key) and bool(SECRET.search(key[-1]))


def shown_path(path: str | Path) -> str:
    """A path relative to the current folder when it lies in it, absolute otherwise."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except (ValueError, FileNotFoundError):
        return str(path)
