"""The WSGI application: who may come in, which operation it is, who answers it, and what the log says.

Our families of operations come first, moto's own applications after them. Whatever happens inside, the answer has
the shape of the service's errors: an HTML page would be repeated by every AWS client as if it were an outage.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from mlplat.localcloud import consistency, extensions, routing, rules, signatures, wire
from mlplat.localcloud.access import enforcement, forwarding
from mlplat.localcloud.changes import EVERYTHING
from mlplat.localcloud.cloud import AGENT, Host
from mlplat.localcloud.control import Control
from mlplat.localcloud.errors import AwsError, NotMine
from mlplat.localcloud.families import Clouds
from mlplat.localcloud.gateway import Gateway
from mlplat.localcloud.request_log import RequestLog
from mlplat.localcloud.routing import Route
from mlplat.localcloud.validation import checking
from mlplat.localcloud.wire import Reply
from mlplat.localcloud.wsgi import BadRequest

log = logging.getLogger(__name__)


class Application(DomainDispatcherApplication):
    """Answers every request of the local cloud."""

    def __init__(self, host: Host, instance: str, requests: RequestLog, clouds: Clouds, ready: threading.Event) -> None:
        super().__init__(create_backend_app)
        self._host, self._requests, self._clouds, self._ready = host, requests, clouds, ready
        self._control, self._gateway = Control(host, instance, clouds), Gateway(clouds, self._admit)
        self._hosts: dict[str, str | None] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The WSGI entry."""
        if not _is_for_us(environ):
            return _send(Reply(421, {"Content-Type": "text/plain"}, b"not this host"), environ, start_response)
        if (told := self._control.answer(environ)) is not None:
            return _send(told, environ, start_response)
        self._ready.wait()
        begun = time.perf_counter()
        if (invoked := self._gateway.answer(environ)) is not None:
            return _send(invoked, environ, start_response)
        route = routing.route(environ)
        reply = self._reply(route, environ)
        request_id = _request_id(reply) or str(uuid.uuid4())
        reply = Reply(reply.status, _with_request_id(reply, request_id), reply.body)
        self._note_change(route)
        self._record(route, reply, request_id, begun)
        return _send(reply, environ, start_response)

    def _reply(self, route: Route, environ: dict[str, Any]) -> Reply:
        try:
            self._admit(route)
            checking.check(route)
            if self._host.enforce_iam:
                enforcement.check(route, self._clouds.cloud(route.region))
                forwarding.remember(route, self._clouds.cloud(route.region))
            if not self._host.freshness.reads:
                return self._handled(route, environ)
            cloud = self._clouds.cloud(route.region)
            return consistency.before(route, cloud) or consistency.after(route, cloud, self._handled(route, environ))
        except AwsError as error:
            return wire.refuse(route, error)
        except BadRequest:
            raise
        except Exception:
            log.exception("%s %s failed", route.service, route.operation_name)
            text = "We encountered an internal error. `mlplat local logs` of the local cloud tells more."
            return wire.refuse(route, AwsError("InternalFailure", text, 500))

    def _handled(self, route: Route, environ: dict[str, Any]) -> Reply:
        handler = self._clouds.handler(route)
        if handler is None:
            return self._from_moto(route, environ)
        try:
            return wire.answer(route, handler(wire.parse(route)))
        except NotMine:
            return self._from_moto(route, environ)

    def _admit(self, route: Route) -> None:
        """Only who has a secret of ours, and signed with it."""
        if route.access_key is None:
            code = "AccessDenied" if route.service == "s3" else "MissingAuthenticationToken"
            raise AwsError(code, "Request is missing Authentication Token", 403)
        mine = hmac.compare_digest(route.access_key.encode(), self._host.access_key.encode())
        signatures.check(route, self._host.secret_key if mine else signatures.issued_secret(route))

    def _from_moto(self, route: Route, environ: dict[str, Any]) -> Reply:
        application = self._application(route, environ)
        if application is None:
            raise _unknown(route)
        try:
            with ExitStack() as held:
                for lock in self._host.locks.of(route):
                    held.enter_context(lock)
                reply = rules.around(route, self._clouds.cloud(route.region), lambda: _ask(application, environ))
        except NotImplementedError as error:
            raise _unknown(route, str(error)) from error
        if reply.status >= 400 and reply.body[:15].lower() == b"<!doctype html>":
            raise _unknown(route)  # moto's application knows no such path
        return _tidied(route, reply)

    def _application(self, route: Route, environ: dict[str, Any]) -> Callable[..., Iterable[bytes]] | None:
        """moto's application for the service; None when moto doesn't have it."""
        if route.service in (None, "sagemaker-featurestore-runtime", "cloudformation"):
            return None  # CloudFormation: moto loads its templates with an unsafe YAML loader
        host = self.infer_service_region_host(environ, route.request.path)
        backend = self._backend(host or f"s3.{route.region}.amazonaws.com")
        if backend is None:
            return None
        with self.lock:
            if backend not in self.app_instances:
                extensions.extend(backend)
                self.app_instances[backend] = _plain(self.create_app(backend))
            application: Callable[..., Iterable[bytes]] = self.app_instances[backend]
            return application

    def _backend(self, host: str) -> str | None:
        """moto looks through its folder and some 200 patterns for this, each time."""
        if host not in self._hosts:
            self._hosts[host] = self.get_backend_for_host(host)
        return self._hosts[host]

    def _note_change(self, route: Route) -> None:
        """For the next snapshot. Records have a file of their own, which is written at once."""
        if route.access == "write" and route.service not in (None, "sagemaker-featurestore-runtime"):
            service = EVERYTHING if route.service == "resourcegroupstaggingapi" else route.service
            self._host.changes.mark(service, route.region)

    def _record(self, route: Route, reply: Reply, request_id: str, begun: float) -> None:
        self._requests.write(
            {
                "service": route.service or route.signing_name,
                "operation": route.operation_name,
                "status": reply.status,
                "access": route.access,
                "ms": round((time.perf_counter() - begun) * 1000, 1),
                "request_id": request_id,
                "internal": AGENT in route.request.headers.get("User-Agent", ""),
            }
        )


def _plain(application: Any) -> Any:
    """moto's Flask application without what is for debugging: a class for each request, which holds its body."""
    application.debug = False
    application.config |= {"PROPAGATE_EXCEPTIONS": True, "TRAP_BAD_REQUEST_ERRORS": True}
    return application


def _ask(application: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> Reply:
    told: list[Any] = []
    body = b"".join(application(environ, lambda *arguments: told.extend(arguments)))
    return Reply(int(told[0].split()[0]), dict(told[1]), body)


def _is_for_us(environ: dict[str, Any]) -> bool:
    """Whether the request names this machine: a web page may have its own name point to the loopback."""
    name = environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("HTTP_HOST", "")
    return name in ("127.0.0.1", "localhost", "[::1]") or name.endswith(".localhost")


def _unknown(route: Route, why: str = "") -> AwsError:
    name = f"{route.service or route.signing_name}:{route.operation_name}"
    detail = f" ({why})" if why and not why.startswith(f"The {_snake(route)} action") else ""
    return AwsError("UnknownOperationException", f"The local cloud does not implement {name}{detail}.")


def _snake(route: Route) -> str:
    from moto.core.utils import camelcase_to_underscores

    return str(camelcase_to_underscores(route.operation_name))


def _tidied(route: Route, reply: Reply) -> Reply:
    """SageMaker's answers by moto, without the empty structures that AWS never sends and its SDK can't parse."""
    if route.service != "sagemaker" or reply.status != 200 or not reply.body or route.operation is None:
        return reply
    result = wire.pruned(json.loads(reply.body), route.operation.output_shape)
    headers = {name: value for name, value in reply.headers.items() if name.lower() != "content-length"}
    return Reply(reply.status, headers, json.dumps(result or {}).encode())


def _request_id(reply: Reply) -> str | None:
    return next((v for k, v in reply.headers.items() if k.lower() in ("x-amzn-requestid", "x-amz-request-id")), None)


def _with_request_id(reply: Reply, request_id: str) -> dict[str, str]:
    return {**reply.headers, "x-amzn-RequestId": request_id, "x-amz-request-id": request_id}


def _send(reply: Reply, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    headers = {name.lower(): value for name, value in reply.headers.items() if name.lower() != "transfer-encoding"}
    if environ.get("REQUEST_METHOD") != "HEAD" and reply.status not in (204, 304):
        headers["content-length"] = str(len(reply.body))
    start_response(f"{reply.status} {_reason(reply.status)}", list(headers.items()))
    return [reply.body]


def _reason(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"  # SageMaker's 530 and such
