"""What S3 says to a request that its model doesn't allow: MalformedXML for the body, codes of its own for headers."""

from __future__ import annotations

from collections.abc import Sequence

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.routing import Route
from mlplat.localcloud.validation.constraints import NOT_NULL, Fault

MALFORMED = "The XML you provided was not well-formed or did not validate against our published schema"
NOT_CHECKED = frozenset({"LocationConstraint", "NotificationConfiguration", "ChecksumMode"})
"""S3 has errors of its own for regions and for events that it doesn't know; moto has them too. The C++ SDK (pyarrow)
sends `enabled` for a checksum mode whose one value is ENABLED, and S3 takes it."""

HEADERS = {
    "StorageClass": ("InvalidStorageClass", "The storage class you specified is not valid"),
    "ServerSideEncryption": ("InvalidArgument", "The encryption method specified is not supported"),
    "ObjectOwnership": ("InvalidArgument", "Invalid x-amz-object-ownership header: {value}"),
    "EncodingType": ("InvalidArgument", "Invalid Encoding Method specified in Request"),
    "ObjectLockMode": ("InvalidArgument", "Unknown wormMode directive."),
}
"""By member of the request; recorded answers. Any other header or query parameter: InvalidArgument without a text."""


def refusal(_route: Route, faults: Sequence[Fault]) -> AwsError | None:
    """The answer to the first fault that S3 minds."""
    return next((_said(each) for each in faults if not NOT_CHECKED & set(each.path) and _minded(each)), None)


def _minded(fault: Fault) -> bool:
    """A header that is missing has its own answers in S3, operation by operation."""
    return len(fault.path) > 1 or fault.constraint != NOT_NULL


def _said(fault: Fault) -> AwsError:
    if len(fault.path) > 1:
        return AwsError("MalformedACLError" if fault.path[0] == "AccessControlPolicy" else "MalformedXML", MALFORMED)
    code, text = HEADERS.get(str(fault.path[0]), ("InvalidArgument", "Invalid argument"))
    return AwsError(code, text.format(value=fault.value))
