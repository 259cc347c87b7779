"""What AWS does on a bad day, put into a session's own EC2 client: refusals, and answers that tell of slow statuses."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse
from urllib3.response import HTTPResponse

from mlplat.aws import Session


class Faults:
    """Watches the EC2 calls of one session, and answers some of them otherwise."""

    def __init__(self, aws: Session) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.events = aws.client("ec2").boto.meta.events
        self.events.register("provide-client-params.ec2.*", self._record)

    def made(self, operation: str) -> list[dict[str, Any]]:
        """The parameters of every call of `operation`, in order."""
        return [params for name, params in self.calls if name == operation]

    def refuse(self, operation: str, code: str, message: str, *, times: int = 1, status: int = 400) -> None:
        """Answer `operation` with an error, `times` times; it is not carried out."""
        count = iter(range(times))

        def answer(**_: Any) -> Any:
            return None if next(count, None) is None else _error(status, code, message)

        self.events.register(f"before-send.ec2.{operation}", answer)

    def change(self, operation: str, edit: Callable[[dict[str, Any]], None], *, times: int = 1) -> None:
        """Edit what `operation` answers, `times` times."""
        count = iter(range(times))

        def edited(parsed: dict[str, Any], **_: Any) -> None:
            if next(count, None) is not None:
                edit(parsed)

        self.events.register(f"after-call.ec2.{operation}", edited)

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, dict(params)))


def _error(status: int, code: str, message: str) -> AWSResponse:
    body = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>"
    raw = HTTPResponse(body=io.BytesIO(body.encode()), status=status, preload_content=False)
    return AWSResponse("https://ec2.test", status, {"content-type": "text/xml"}, raw)
