"""Arguments of a step as CreatePipeline checks them: by the request that they will make, as far as it is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlplat.localcloud.pipelines.expressions import is_expression

REFUSED = {"CreateModelPackageInput": ("CertifyForMarketplace",)}
"""Members that the API has and pipelines reject, by shape. Source: the SDK's ModelStep."""


def faults(value: Any, shape: Any, *, left_out: str = "") -> Iterator[str]:
    """What is wrong, in AWS's words as far as they are recorded. `left_out` is a required member that AWS fills in.

    An expression may stand for anything but a structure or list (SDK issue 2345).
    """
    kind = shape.type_name
    if kind == "structure":
        yield from _structure(value, shape, left_out)
    elif kind == "list":
        if not isinstance(value, list):
            yield "Expecting start of Json Array."
            return
        for each in value:
            yield from faults(each, shape.member)
    elif kind == "map":
        if not isinstance(value, Mapping):
            yield "Expecting start of Json Object."
            return
        for each in value.values():
            yield from faults(each, shape.value)
    elif not is_expression(value):
        yield from _scalar(value, shape)


def _structure(value: Any, shape: Any, left_out: str) -> Iterator[str]:
    if not isinstance(value, Mapping) or is_expression(value):
        yield "Expecting start of Json Object."
        return
    for name in value:
        if name not in shape.members or name in REFUSED.get(shape.name, ()):
            yield f"Unknown property '{name}' of {shape.name}."  # wording not verified
    for name in shape.required_members:
        if name not in value and name != left_out and not _is_token(shape.members[name]):
            yield f"Model Validation failed: '{name}' of {shape.name} must not be null"
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from faults(value[name], member)


def _is_token(member: Any) -> bool:
    return bool(getattr(member, "metadata", {}).get("idempotencyToken"))


def _scalar(value: Any, shape: Any) -> Iterator[str]:
    expected: dict[str, tuple[type, ...]] = {
        "string": (str,), "boolean": (bool,), "integer": (int,), "long": (int,), "float": (int, float),
        "double": (int, float),
    }  # fmt: skip
    types = expected.get(shape.type_name)
    if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        yield f"Model Validation failed: Value '{value}' for '{shape.name}' is not a {shape.type_name}"
    allowed = getattr(shape, "enum", None) or shape.metadata.get("enum", [])
    if allowed and isinstance(value, str) and value not in allowed:
        known = ", ".join(allowed)
        yield f"Model Validation failed: Value '{value}' for '{shape.name}' failed to satisfy enum value set: [{known}]"
