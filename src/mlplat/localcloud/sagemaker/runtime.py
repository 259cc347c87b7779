"""The SageMaker runtime: InvokeEndpoint, routed to a model server past every lock of the control plane."""

from __future__ import annotations

import time
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors.data_capture import Request
from mlplat.localcloud.executors.hosting import Hosting, Share, Traffic
from mlplat.localcloud.executors.router import INVOCATION_TIMEOUT, Answer, HungUp, TimedOut, Unreachable

LARGEST_BODY = 6 * 1024 * 1024
UNSUPPORTED = {
    "TargetContainerHostname": "does not support target container hostname header",
    "InferenceComponentName": "is not an inference component based endpoint and does not support its header",
    "EnableExplanations": "does not have an explainer and does not support its header",
    "SessionId": "does not support stateful sessions",
}
HEADERS = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}
"""What of a request reaches the container, and under which header."""

HUNG_UP = Answer(500, "text/plain", b"")
TIMED_OUT = Answer(
    0,
    "text/plain",
    b"Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    b"each container in Amazon CloudWatch, resolve the issue, and try again.",
)
"""What is told of a model server that ended, or did not answer in time."""


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


class SageMakerRuntime:
    """InvokeEndpoint; its name and shapes are boto3's."""

    service = "sagemaker-runtime"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._hosting = Hosting.of(cloud)

    def invoke_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request to a variant, chosen by weight or by TargetVariant.

        An endpoint that is not in service is not found, as on AWS. What the container answers with 4xx or 5xx is
        ModelError 424; a container that is just being started again is ServiceUnavailable, which clients repeat.
        """
        begun = time.perf_counter()
        name = request["EndpointName"]
        self._check(name, request)
        traffic = self._enter(name)
        try:
            share = self._pick(name, traffic, request.get("TargetVariant"))
            asked = time.perf_counter()
            answer = _ask(traffic, share, request)
            took = time.perf_counter() - asked
        finally:
            traffic.fleet.leave()
        overhead = time.perf_counter() - begun - took
        status = answer.status or 500
        self._hosting.metrics.count(name, share.variant, share.instances, status, model=took, overhead=overhead)
        if status >= 400:
            raise self._model_error(name, answer)
        if traffic.capture:
            source = (name, share.variant, traffic.server(share).variant.container.role)
            self._hosting.capture.see(traffic.capture, source, _captured(request), answer, self._cloud.now())
        return {"Body": answer.body, "ContentType": answer.content_type, "InvokedProductionVariant": share.variant}

    def _check(self, name: str, request: dict[str, Any]) -> None:
        if len(request.get("Body") or b"") > LARGEST_BODY:
            raise _invalid(
                f"1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length "
                f"less than or equal to {LARGEST_BODY}"
            )
        if "TargetModel" in request and name in self._hosting.traffic:
            raise _invalid(f"Endpoint {name} is not a multi-model endpoint and does not support target model header.")
        for member, why in UNSUPPORTED.items():
            if member in request:
                raise _invalid(f"Endpoint {name} {why}.")

    def _enter(self, name: str) -> Traffic:
        """The endpoint's traffic, its fleet held; an update may retire the fleet between the two."""
        if (back := self._hosting.returning.get(name)) is not None:
            back.wait(INVOCATION_TIMEOUT)
        while (traffic := self._hosting.traffic.get(name)) is not None:
            if traffic.fleet.enter():
                return traffic
        raise _invalid(f"Endpoint {name} of account {self._cloud.account} not found.")

    def _pick(self, name: str, traffic: Traffic, target: str | None) -> Share:
        share = traffic.pick(target)
        if share is None and target is not None:
            raise _invalid(f"Variant {target} not found for endpoint {name} of account {self._cloud.account}.")
        if share is None:
            raise _invalid(f"Endpoint {name} sends traffic to no variant: the weight of each is 0.")
        return share

    def _model_error(self, name: str, answer: Answer) -> AwsError:
        """ModelError, in AWS's words."""
        group = f"/aws/sagemaker/Endpoints/{name}"
        region = self._cloud.region
        whose = "client" if 400 <= answer.status < 500 else "server"
        said = answer.body.decode(errors="replace")
        what = f'from model with message "{said}"'
        if answer is HUNG_UP:
            what = "from model and could not load the entire response body"
        text = (
            f"Received {whose} error ({answer.status}) {what}. See https://{region}.console.aws.amazon.com/cloudwatch/"
            f"home?region={region}#logEventViewer:group={group} in account {self._cloud.account} for more information."
        )
        return AwsError(
            "ModelError",
            text,
            424,
            OriginalStatusCode=answer.status,
            OriginalMessage=said,
            LogStreamArn=self._cloud.arn(f"log-group:{group}", "logs"),
        )


def _ask(traffic: Traffic, share: Share, request: dict[str, Any]) -> Answer:
    try:
        return traffic.server(share).invoke(request.get("Body") or b"", _headers(request))
    except Unreachable as error:
        text = f"The model server of variant {share.variant} is being started again."
        raise AwsError("ServiceUnavailable", text, 503) from error
    except TimedOut:
        return TIMED_OUT
    except HungUp:
        return HUNG_UP


def _headers(request: dict[str, Any]) -> dict[str, str]:
    return {header: request[member] for member, header in HEADERS.items() if request.get(member)}


def _captured(request: dict[str, Any]) -> Request:
    kind = request.get("ContentType") or "application/octet-stream"
    return Request(request.get("Body") or b"", kind, request.get("InferenceId"), request.get("CustomAttributes"))
