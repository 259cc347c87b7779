"""Requests checked as AWS checks them: boto3 itself looks at types, required members and minimum lengths only.

`watch(events)` hooks on to a botocore session or client: each request with a value outside the service model's
pattern, enum, length or range raises Refused before it is sent, with the path of the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from mlplat.localcloud.validation.constraints import Constraints
from mlplat.localcloud.validation.wording import sentence


class Refused(AssertionError):
    """What AWS would answer with ValidationException."""


def watch(events: Any) -> None:
    """Check every request made through a botocore session, or through a client's `meta.events`."""
    register = events.meta.events.register if hasattr(events, "meta") else events.register
    register("before-parameter-build", check)


def check(params: Mapping[str, Any], model: Any, **_kwargs: Any) -> None:
    """Raises Refused for a request that the operation's input shape doesn't allow."""
    if model.input_shape is None:
        return
    unknown = list(_unknown(params, model.input_shape))
    faults = _constraints(model.service_model.service_name).faults(params, model.input_shape)
    if faults or unknown:
        said = [sentence(faults)] * bool(faults) + [f"no member {name}" for name in unknown]
        raise Refused(f"{model.service_model.service_name} {model.name}: {'; '.join(said)}")


@cache
def _constraints(_service: str) -> Constraints:
    return Constraints()


def _unknown(value: Any, shape: Any, path: str = "") -> Iterator[str]:
    """Members that the model doesn't have."""
    if shape.type_name == "structure" and not shape.metadata.get("document"):
        yield from (f"{path}{name}" for name in value if name not in shape.members)
        for name in value:
            if name in shape.members and value[name] is not None:
                yield from _unknown(value[name], shape.members[name], f"{path}{name}.")
    elif shape.type_name == "list":
        for index, each in enumerate(value):
            yield from _unknown(each, shape.member, f"{path}[{index}].")
    elif shape.type_name == "map":
        for key, each in value.items():
            yield from _unknown(each, shape.value, f"{path}[{key!r}].")
