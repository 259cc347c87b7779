"""Which of the configured things is meant: by its name, or the only one there is."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from mlplat.errors import UsageError

T = TypeVar("T")


def chosen(known: Mapping[str, T], name: str | None, what: str, command: str) -> tuple[str, T]:
    """The thing of that name, or the only one when none is named.

    Raises UsageError that lists them, with `command` and the nearest name (else the first) as its hint; where there is
    none, what may be configured.
    """
    if name is None and len(known) == 1:
        return next(iter(known.items()))
    if name is not None and name in known:
        return name, known[name]
    near = get_close_matches(name or "", known, n=1, cutoff=0.3)
    wrong = f"which {what}? The" if name is None else f"unknown {what} {name!r}: the"
    raise UsageError(
        f"{wrong} configuration has {', '.join(known) or 'none'}",
        hint=f"{command} {next(iter([*near, *known]))}" if known else "mlplat config keys",
    )
