"""What scripts of Python shell jobs import as `awsglue.utils`: getResolvedOptions, by its documentation.

The values of `--name value` (or `--name=value`) among the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence


class GlueArgumentError(Exception):
    """An argument that the script needs is not there."""


def getResolvedOptions(args: Sequence[str], options: Sequence[str]) -> dict[str, str]:  # noqa: N802 (Glue's own name)
    """The value of each option, by its name without `--`."""
    found: dict[str, str] = {}
    for option in options:
        value = _value(list(args), f"--{option}")
        if value is None:
            raise GlueArgumentError(f"the following arguments are required: --{option}")
        found[option] = value
    return found


def _value(args: list[str], name: str) -> str | None:
    for place, each in enumerate(args):
        if each == name and place + 1 < len(args):
            return args[place + 1]
        if each.startswith(f"{name}="):
            return each.partition("=")[2]
    return None
