"""A SageMaker that answers as a test tells it to: real boto3 clients, so requests are checked by botocore's model."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests import strict_requests

from mlplat.aws import Session

ARN = "arn:aws:sagemaker:us-east-1:123456789012"
Answer = dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Refusal(Exception):
    """What an answer raises to be an error of AWS's."""

    code: str
    message: str


@dataclass
class Scripted:
    """Operations and what they answer: one answer, a function of the request, or a list of answers in turn.

    The last answer of a list stays. `calls` keeps every request, tags apart.
    """

    answers: dict[str, Answer | Refusal | list[Answer | Refusal]]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def session(self) -> Session:
        """A session bound to an address, whose SageMaker and S3 calls come here."""
        aws = Session("test", "us-east-1", endpoint_url="http://127.0.0.1:9", credentials=("AKIDEXAMPLE", "secret"))
        for service in ("sagemaker", "sagemaker-featurestore-runtime"):
            aws.client(service).boto.meta.events.register("before-send", self._answer)
            aws.client(service).boto.meta.events.register("before-parameter-build", self._record)
            strict_requests.watch(aws.client(service).boto)
        return aws.at("test_template.thing.one")

    def made(self, operation: str) -> list[dict[str, Any]]:
        """The requests of one operation, in order."""
        return [params for name, params in self.calls if name == operation]

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self._operation = model.name
        if model.name not in ("ListTags",):
            self.calls.append((model.name, dict(params)))

    def _answer(self, request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse
        from urllib3.response import HTTPResponse

        status, body = self._body(json.loads(request.body or "{}"))
        raw = HTTPResponse(body=io.BytesIO(json.dumps(body).encode()), status=status, preload_content=False)
        return AWSResponse("http://sagemaker.test", status, {"content-type": "application/x-amz-json-1.1"}, raw)

    def _body(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answer: Any = {"Tags": []} if self._operation in ("ListTags", "AddTags") else self.answers[self._operation]
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        try:
            if isinstance(answer, Refusal):
                raise answer
            return 200, answer(request) if callable(answer) else answer
        except Refusal as refusal:
            return 400, {"__type": refusal.code, "message": refusal.message}


def absent(what: str) -> Refusal:
    """How SageMaker says that a model, config or endpoint isn't there."""
    return Refusal("ValidationException", f'Could not find {what} "{ARN}:x/y".')
