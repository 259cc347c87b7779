"""AWS's sentence for what is wrong with a request: "1 validation error detected: Value 'x' at 'y' failed to ..."

The form is the one that its services answer with (localstack's recorded answers of KMS, Logs, EventBridge, Lambda,
API Gateway; issues of SageMaker's SDK): members in camel case, places from 1, values as Java prints them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlplat.localcloud.validation.constraints import NOT_NULL, Fault, Key, Path

UNSHOWN = frozenset({"LogGroupIdentifier"})
"""Shapes whose values are not repeated, though the model doesn't call them sensitive: verified by moto's tests."""


def sentence(faults: Sequence[Fault], *, within: str = "", secretive: bool = False) -> str:
    """All faults in one message. `within` is the input's name where the service puts it before members of the body.

    A `secretive` service (IAM) repeats no values, and no sets of allowed ones either.
    """
    count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: "
    return count + "; ".join(_clause(fault, within, secretive) for fault in faults)


def dotted(path: Path, within: str = "") -> str:
    """`tags.1.member.key`"""
    told = [within] if within else []
    for part in path:
        if isinstance(part, int):
            told += [str(part + 1), "member"]
        elif isinstance(part, Key):
            told += [part, "member"]
        else:
            told.append(part[:1].lower() + part[1:])
    return ".".join(told)


def java(value: Any, shape: Any) -> str:
    """A value as Java's toString writes it: `[a, b]`, `{k=v}`, `Tag(key=a, value=null)`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if shape.type_name == "structure" and isinstance(value, Mapping) and not shape.metadata.get("document"):
        members = [f"{n[:1].lower()}{n[1:]}={java(value.get(n), each)}" for n, each in shape.members.items()]
        return f"{shape.name}({', '.join(members)})"
    if shape.type_name == "list" and isinstance(value, list | tuple):
        return f"[{', '.join(java(each, shape.member) for each in value)}]"
    if shape.type_name == "map" and isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={java(each, shape.value)}' for key, each in value.items())}}}"
    return str(value)


def _clause(fault: Fault, within: str, secretive: bool) -> str:
    in_body = within and "location" not in _top(fault)
    constraint = fault.constraint
    if secretive:
        constraint = constraint.partition(" enum value set: ")[0] + " enum value set" * (" enum value" in constraint)
    shown = _shown(fault, secretive)
    return (
        f"Value{shown} at '{dotted(fault.path, within if in_body else '')}' failed to satisfy constraint: {constraint}"
    )


def _shown(fault: Fault, secretive: bool) -> str:
    if secretive or fault.shape.metadata.get("sensitive") or fault.shape.name in UNSHOWN:
        return ""
    return " null" if fault.constraint == NOT_NULL else f" '{java(fault.value, fault.shape)}'"


def _top(fault: Fault) -> Mapping[str, Any]:
    """Where a member of the input itself is sent: members deeper inside are always in the body."""
    return fault.shape.serialization if len(fault.path) == 1 else {}
