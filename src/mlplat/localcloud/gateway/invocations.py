"""A request to an API's stage: admitted, mapped, sent to SageMaker as the integration's role, and mapped back."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from mlplat.localcloud import iam, policies, routing, trust
from mlplat.localcloud.access import Actors, callers, enforcement
from mlplat.localcloud.access.needs import Need
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.families import Clouds
from mlplat.localcloud.gateway import mapping, stages
from mlplat.localcloud.gateway.mapping import Answer, Request
from mlplat.localcloud.gateway.plans import Plans
from mlplat.localcloud.gateway.refusals import Refusal, misconfigured
from mlplat.localcloud.gateway.stages import Stage, Target
from mlplat.localcloud.routing import Route
from mlplat.localcloud.wire import Reply

log = logging.getLogger(__name__)

SERVICE = "apigateway.amazonaws.com"
RUNTIME = re.compile(r"arn:[^:]+:apigateway:[^:]+:runtime\.sagemaker:path/endpoints/(?P<name>[^/]+)/invocations$")
LARGEST = 10 * 1024 * 1024
LONGEST = 29_000
"""Milliseconds (API Gateway quotas)."""


class Gateway:
    """Answers what is addressed to an API: `/restapis/ID/STAGE/_user_request_/...`, or by the host `ID.execute-api`."""

    def __init__(self, clouds: Clouds, admit: Callable[[Route], None]) -> None:
        self._clouds, self._admit, self._plans = clouds, admit, Plans()
        self._actors: dict[Cloud, Actors] = {}

    def answer(self, environ: dict[str, Any]) -> Reply | None:
        """The reply, or None for an address that is no API's."""
        if not stages.is_for_an_api(environ):
            return None
        try:
            stage = stages.find(self._clouds, environ)
            if stage is None:
                raise Refusal(403, "Forbidden", "ForbiddenException")
            return self._answered(stage, environ)
        except Refusal as refusal:
            body = json.dumps({"message": refusal.message}).encode()
            return Reply(refusal.status, {"Content-Type": "application/json", "x-amzn-ErrorType": refusal.kind}, body)

    def _answered(self, stage: Stage, environ: dict[str, Any]) -> Reply:
        http_method = str(environ["REQUEST_METHOD"])
        target = stage.method(http_method)
        if target is None:
            raise Refusal(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
        self._authorize(stage, target, http_method, environ)
        request = _read(environ, target)
        self._plans.admit(stage, target, http_method, request.headers.get("x-api-key"))
        _validate(stage, target, request)
        integration = target.method.method_integration
        found = self._sent(stage, target, http_method, request)
        return Reply(*mapping.told(mapping.chosen(integration, found.status), found))

    def _authorize(self, stage: Stage, target: Target, http_method: str, environ: dict[str, Any]) -> None:
        kind = target.method.authorization_type or "NONE"
        if kind == "NONE":
            return
        if kind != "AWS_IAM":
            raise Refusal(501, f"The local cloud runs no authorizers of type {kind}", "NotImplemented")
        route = routing.route(environ)
        try:
            self._admit(route)
            if stage.cloud.host.enforce_iam:
                _check_allowed(route, stage, http_method)
        except AwsError as error:
            raise Refusal(403, error.message, error.code) from error

    def _sent(self, stage: Stage, target: Target, http_method: str, request: Request) -> Answer:
        integration = target.method.method_integration
        if integration is None or integration.integration_type != "AWS":
            kind = integration.integration_type if integration is not None else "none"
            raise Refusal(501, f"The local cloud runs no integrations of type {kind}", "NotImplemented")
        path, headers, body = mapping.sent(integration, request)
        endpoint = RUNTIME.match(str(integration.uri).partition(":path/")[0] + f":path{path}")
        if endpoint is None:
            raise Refusal(501, f"The local cloud integrates no {integration.uri}", "NotImplemented")
        role = integration.credentials or ""
        if not trust.lets_in(stage.cloud, role, SERVICE, stage.arn(http_method)):
            log.warning("API Gateway: no permission to assume the role %r of %s", role, integration.uri)
            raise misconfigured()
        if refused := _not_allowed(stage.cloud, role, endpoint["name"]):
            return refused
        seconds = float(integration.timeout_in_millis or LONGEST) / 1000
        return _send(self._as(stage.cloud, role), path, headers, body, seconds)

    def _as(self, cloud: Cloud, role: str) -> Cloud:
        return self._actors.setdefault(cloud, Actors(cloud)).of(role)


def _read(environ: dict[str, Any], target: Target) -> Request:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > LARGEST:
        raise Refusal(413, "Request Too Long", "RequestEntityTooLargeException")
    headers = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    body = environ["wsgi.input"].read(length) if length else b""
    return Request(str(environ["REQUEST_METHOD"]), headers, query, target.variables, body)


def _validate(stage: Stage, target: Target, request: Request) -> None:
    validator = stage.api.request_validators.get(target.method.request_validator_id)
    if validator is not None and validator.validate_request_parameters:
        mapping.check_required(target.method, request)


def _check_allowed(route: Route, stage: Stage, http_method: str) -> None:
    """Raise AccessDenied unless the caller may invoke the method."""
    caller = callers.of(route.access_key, stage.cloud)
    if caller is None:
        return
    need = Need("execute-api:Invoke", (stage.arn(http_method),))
    if enforcement.refusal(iam.documents(stage.cloud, caller.principal), need, caller, stage.cloud):
        text = f"User: {caller.arn} is not authorized to perform: {need.action} on resource: {need.resources[0]}"
        raise AwsError("AccessDeniedException", text, 403)


def _not_allowed(cloud: Cloud, role: str, endpoint: str) -> Answer | None:
    """SageMaker's refusal of the role, which is an answer of the integration like any other."""
    action, resource = "sagemaker:InvokeEndpoint", cloud.arn(f"endpoint/{endpoint.lower()}")
    if policies.decide(iam.documents(cloud, role), action, resource, {}).outcome == "allowed":
        return None
    text = f"User: {role} is not authorized to perform: {action} on resource: {resource}"
    return Answer(403, {"content-type": mapping.JSON}, json.dumps({"Message": text}).encode())


class _Pool:
    """Connections to the local cloud itself."""

    @cached_property
    def http(self) -> Any:
        import urllib3

        return urllib3.PoolManager(maxsize=16, retries=False)


_pool = _Pool()


def _send(cloud: Cloud, path: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
    """Signed as the role's session, past botocore's clients: whatever the service answers is mapped as it is."""
    import urllib3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    keys = cloud.environment()
    signed = AWSRequest("POST", f"{cloud.address}{path}", headers=dict(headers), data=body)
    credentials = Credentials(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], keys.get("AWS_SESSION_TOKEN"))
    SigV4Auth(credentials, "sagemaker", cloud.region).add_auth(signed)
    try:
        found = _pool.http.request(
            "POST", signed.url, body=body, headers=dict(signed.headers.items()), timeout=urllib3.Timeout(total=seconds)
        )
    except urllib3.exceptions.TimeoutError as error:
        raise Refusal(504, "Endpoint request timed out", "InternalServerErrorException") from error
    return Answer(found.status, {name.lower(): value for name, value in found.headers.items()}, found.data)
