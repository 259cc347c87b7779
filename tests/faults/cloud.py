"""The local cloud in the test's own process, without a socket: a request is a function call, and `fork` copies it all.

It is the daemon's own application with the daemon's own families and moto. Left out: model servers. An endpoint's
variant is in service at once and could answer nobody; all else of its life (statuses, conflicts, refusals) is real.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.useragent import UserAgentString
from urllib3.response import HTTPResponse

from mlplat.localcloud import bodies, extensions, routing, wire
from mlplat.localcloud.application import Application
from mlplat.localcloud.cloud import ACCOUNT, Cloud, Host
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors import endpoint
from mlplat.localcloud.families import Clouds
from mlplat.localcloud.request_log import RequestLog
from mlplat.localcloud.supervisor import Supervisor
from mlplat.localcloud.wire import Reply

URL = "http://127.0.0.1:9"
"""Nobody listens there: a request that is not answered here fails."""

KEYS = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")


class NoModelServer(endpoint.ModelServer):
    """Is in service at once."""

    def __init__(self, cloud: Cloud, _endpoint: str, variant: endpoint.Variant) -> None:
        self.variant, self._cloud = variant, cloud

    def start(self) -> None:
        """Nothing to bring up."""

    def stop(self) -> None:
        """Nothing to end."""


class InProcessCloud:
    """One local cloud of every region, with no delay between statuses."""

    account = ACCOUNT

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        folder.mkdir(parents=True)
        patch.setattr(endpoint, "ModelServer", NoModelServer)
        patch.setattr(UserAgentString, "to_string", lambda _self: "faults")  # a tenth of boto3's time
        patch.setattr(bodies, "_bodies", [bodies.Bodies(folder / "objects")])
        patch.setattr(Cloud, "_client", lambda cloud, service: self.client(service, cloud.region))
        host = Host(URL, folder, *KEYS, Supervisor(folder), transition_delay=0.0)
        self._clouds = Clouds(host)
        ready = threading.Event()
        extensions.register(self._clouds)
        extensions.extend("ec2")
        ready.set()
        self._application = Application(host, "in-process", RequestLog(folder), self._clouds, ready)
        self._own: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str) -> Any:
        """A plain boto3 client of this cloud, for tests to look around with: no fault ever comes to it."""
        import boto3

        if (service, region) not in self._own:
            made = boto3.Session(*KEYS, region_name=region).client(service, endpoint_url=URL)
            made.meta.events.register("before-send", lambda request, **_: self.answer(request))
            self._own[service, region] = made
        return self._own[service, region]

    def answer(self, request: AWSPreparedRequest) -> AWSResponse:
        """What the local cloud answers."""
        told: list[Any] = []
        body = b"".join(self._application(environ(request), lambda *arguments: told.extend(arguments)))
        return response(request, Reply(int(told[0].split()[0]), dict(told[1]), body))

    def settle(self) -> None:
        """Wait until nothing goes on in the background any more, so that the process can be copied."""
        for each in threading.enumerate():
            if isinstance(each, threading.Timer):
                each.join(10)

    def refuse(self, request: AWSPreparedRequest, code: str, message: str, status: int = 400) -> AWSResponse:
        """An error in the words and the shape of the request's service; nothing is carried out."""
        route = routing.route(environ(request))
        return response(request, wire.refuse(route, AwsError(code, message, status)))


def environ(request: AWSPreparedRequest) -> dict[str, Any]:
    """A boto3 request as WSGI has it."""
    url = urlsplit(request.url)
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else body.read()
    headers = {
        f"HTTP_{name.upper().replace('-', '_')}": value.decode() if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    return {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(url.path, "latin-1"),
        "RAW_URI": url.path + (f"?{url.query}" if url.query else ""),
        "REQUEST_URI": url.path + (f"?{url.query}" if url.query else ""),
        "QUERY_STRING": url.query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
        "HTTP_HOST": "127.0.0.1:9",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": headers.get("HTTP_CONTENT_TYPE", ""),
    }


def response(request: AWSPreparedRequest, reply: Reply) -> AWSResponse:
    """An answer as boto3 gets it from its HTTP library."""
    raw = HTTPResponse(
        body=io.BytesIO(reply.body),
        headers=reply.headers,
        status=reply.status,
        preload_content=False,
        request_method=request.method,  # the length that a HEAD tells is not that of its answer
    )
    return AWSResponse(request.url, reply.status, raw.headers, raw)
