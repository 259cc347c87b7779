"""Invoke, synchronous and asynchronous, for moto's functions: found, checked, run, and repeated when they fail."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from mlplat.localcloud import background
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.lambdas.invocation import Function, Invocation, Outcome

log = logging.getLogger(__name__)

RUNTIMES = ("python3.10", "python3.11", "python3.12", "python3.13")
"""Run by the Python of the local cloud, whichever of them it is."""

LARGEST = 6 * 1024 * 1024
LARGEST_EVENT = 1024 * 1024
"""Bytes of a payload: developer guide, "Lambda quotas"."""

RETRY_AFTER = (60.0, 120.0)
"""Seconds before the second and the third attempt. Source: developer guide, "Asynchronous invocation"."""

AT_ONCE = 4
"""Asynchronous invocations that run side by side; this is one machine."""


class Functions:
    """Lambda's Invoke. Events wait in the store `function_events`, so they are still there after a restart."""

    service = "lambda"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._events = cloud.store("function_events")
        self._pool = ThreadPoolExecutor(AT_ONCE, "function")
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self._taken: set[str] = set()

    def invoke(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the function and answer what it returned; or take the event (202); or only look (204)."""
        function, limit = find(self._cloud, request["FunctionName"], request.get("Qualifier"))
        kind, payload = request.get("InvocationType", "RequestResponse"), bytes(request.get("Payload") or b"{}")
        _check_payload(payload, kind)
        if kind == "DryRun":
            return {"StatusCode": 204}
        check_runtime(function)
        if kind == "Event":
            self.take(request["FunctionName"], request.get("Qualifier"), payload)
            return {"StatusCode": 202}
        outcome = self._run(function, limit, payload, request.get("ClientContext"))
        return {
            "StatusCode": 200,
            "Payload": outcome.payload,
            "FunctionError": outcome.error,
            "LogResult": outcome.tail if request.get("LogType") == "Tail" else None,
            "ExecutedVersion": function.version,
        }

    def take(self, name: str, qualifier: str | None, payload: bytes) -> None:
        """An event to be handled as soon as possible, and again when that fails."""
        request_id = str(uuid4())
        event = {"Function": name, "Qualifier": qualifier, "Payload": payload, "RequestId": request_id}
        with self._cloud.lock:
            self._events[request_id] = event | {"Attempts": 0, "Due": self._cloud.clock.now()}
        self._start(request_id)

    def beat(self, now: datetime) -> None:
        """Try again what has waited long enough."""
        with self._cloud.lock:
            due = [name for name, event in self._events.items() if event["Due"] <= now]
        for name in due:
            self._start(name)

    def _start(self, name: str) -> None:
        with self._lock:
            if name in self._taken:
                return
            self._taken.add(name)
        self._pool.submit(self._attempt, name)

    def _attempt(self, name: str) -> None:
        try:
            with self._cloud.lock:
                event = self._events.get(name)
            if event is not None and not self._cloud.closed:
                self._handle(name, event)
        except Exception:
            if not self._cloud.closed:
                log.exception("event %s of function %s", name, event and event["Function"])
        finally:
            with self._lock:
                self._taken.discard(name)

    def _handle(self, name: str, event: Mapping[str, Any]) -> None:
        try:
            function, limit = find(self._cloud, event["Function"], event["Qualifier"])
            outcome = self._run(function, limit, event["Payload"], None, event["RequestId"])
        except AwsError as error:
            if error.code == "TooManyRequestsException":
                return  # throttled events stay, for up to six hours
            log.warning("an event for function %s is dropped: %s", event["Function"], error)
            self._forget(name)
            return
        if self._cloud.closed:
            return  # it ended because all does: it is tried again after the restart
        retries = _retries(self._cloud, event["Function"])
        with self._cloud.lock:
            attempts = event["Attempts"] + 1
            if outcome.error and attempts <= retries:
                due = self._cloud.clock.now() + timedelta(seconds=RETRY_AFTER[attempts - 1])
                self._events[name] = {**event, "Attempts": attempts, "Due": due}
                return
        self._forget(name)

    def _forget(self, name: str) -> None:
        with self._cloud.lock:
            self._events.pop(name, None)

    def _run(
        self, function: Function, limit: int | None, payload: bytes, context: str | None, request_id: str | None = None
    ) -> Outcome:
        with self._lock:
            if limit is not None and self._running[function.name] >= limit:
                why = "ReservedFunctionConcurrentInvocationLimitExceeded"
                raise AwsError("TooManyRequestsException", "Rate Exceeded.", 429, Reason=why)
            self._running[function.name] += 1
        try:
            return Invocation(self._cloud, function, request_id).run(payload, context)
        finally:
            with self._lock:
                self._running[function.name] -= 1


def find(cloud: Cloud, name: str, qualifier: str | None) -> tuple[Function, int | None]:
    """A version of a function, and its reserved concurrency. Raises ResourceNotFoundException."""
    from moto.awslambda.exceptions import LambdaClientError
    from moto.awslambda.models import lambda_backends

    backend = lambda_backends[cloud.account][cloud.region]
    try:
        found = backend.get_function(name, qualifier)
    except LambdaClientError as error:
        raise AwsError("ResourceNotFoundException", str(error.message), 404, Type="User") from error
    layers = [backend.layers_versions_by_arn(each["Arn"]) for each in found.layers]
    made = Function(
        name=found.function_name,
        version=str(found.version),
        arn=found.function_arn,
        role=found.role,
        handler=found.handler or "",
        runtime=found.run_time or found.package_type,
        timeout=int(found.timeout),
        memory=int(found.memory_size),
        sha=found.code_sha_256,
        code=found.code_bytes,
        environment=dict(found.environment_vars),
        layers={each.code_sha_256: each.code_bytes for each in layers if each is not None},
    )
    limit = found.reserved_concurrency
    return made, None if limit is None else int(limit)


def check_runtime(function: Function) -> None:
    """Only Python can be run here; anything else is said rather than pretended."""
    if function.runtime not in RUNTIMES:
        text = f"The local cloud runs functions in Python only ({', '.join(RUNTIMES)}), not {function.runtime}."
        raise AwsError("InvalidRuntimeException", text, 502, Type="Server")


def _check_payload(payload: bytes, kind: str) -> None:
    most = LARGEST_EVENT if kind == "Event" else LARGEST
    if len(payload) > most:
        text = f"{len(payload)} byte payload is too large for the {kind} invocation type (limit {most} bytes)"
        raise AwsError("RequestTooLargeException", text, 413, Type="User")
    try:
        json.loads(payload)
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise AwsError("InvalidRequestContentException", text, 400, Type="User") from error


def _retries(cloud: Cloud, name: str) -> int:
    """MaximumRetryAttempts of the function's event invoke config, or two."""
    from moto.awslambda.models import lambda_backends

    configs = lambda_backends[cloud.account][cloud.region].get_function(name).event_invoke_config
    return int(configs[-1].config.get("MaximumRetryAttempts", 2)) if configs else 2


def register() -> None:
    """What other services of moto send to a function is an event for it, handled after they have gone on."""
    from moto.awslambda.models import LambdaFunction

    def invoke(self: Any, body: Any, _request_headers: Any, _response_headers: Any) -> bytes:
        lambdas = background.cloud(self.region).aws("lambda")
        lambdas.invoke(FunctionName=self.function_arn, InvocationType="Event", Payload=body)
        return b""

    LambdaFunction.invoke = invoke
