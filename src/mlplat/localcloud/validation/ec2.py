"""What EC2 says to a request that its model doesn't allow (API reference, "Error codes for the Amazon EC2 API")."""

from __future__ import annotations

from collections.abc import Sequence

from mlplat.localcloud import wire
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.routing import Route
from mlplat.localcloud.validation.constraints import NOT_NULL, Fault
from mlplat.localcloud.validation.wording import java

NAMES = {("CreateTags", "Resources"): "resourceIdSet", ("DeleteTags", "Resources"): "resourceIdSet"}
"""Members that EC2 calls otherwise than its model does when they are missing (as moto's tests have it from AWS)."""


def refusal(route: Route, faults: Sequence[Fault]) -> AwsError | None:
    """UnknownParameter first (as answered in aws-sdk-js issue 57), then what is wrong or missing."""
    unknown = wire.unknown_parameters(route)
    if unknown:
        return AwsError("UnknownParameter", f"The parameter {unknown[0]} is not recognized")
    return _said(faults[0], route.operation_name) if faults else None


def _said(fault: Fault, operation: str) -> AwsError:
    name = ".".join(str(part + 1) if isinstance(part, int) else part for part in fault.path)
    if fault.constraint == NOT_NULL:
        name = NAMES.get((operation, name), name)
        return AwsError("MissingParameter", f"The request must contain the parameter {name}")
    text = f"Value ({java(fault.value, fault.shape)}) for parameter {name} is invalid. {fault.constraint}"
    return AwsError("InvalidParameterValue", text)  # the end of the sentence is not verified
