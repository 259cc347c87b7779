"""What a request brought is gone with it: the collector comes rarely, and an upload has megabytes."""

from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import create_backend_app

from mlplat.localcloud import routing
from mlplat.localcloud.application import _plain
from mlplat.localcloud.wsgi import environment

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
SIGNED = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260301/us-east-1/sts/aws4_request, SignedHeaders=host"


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def asked(kind: str) -> dict[str, Any]:
    headers = [("Host", "127.0.0.1:1"), ("Authorization", SIGNED), ("Content-Type", kind)]
    made = environment("POST", "/", "HTTP/1.1", [*headers, ("Content-Length", str(len(BODY)))], ("127.0.0.1", 1))
    return {**made, "wsgi.input": io.BytesIO(BODY), "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "1"}


def is_gone_after(handle: Callable[[dict[str, Any]], object], kind: str) -> bool:
    environ = asked(kind)
    held = weakref.ref(environ["wsgi.input"])
    handle(environ)
    del environ
    return held() is None


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("kind", [routing.FORM, "application/x-amz-json-1.1"])
def test_a_routed_request_is_gone_when_it_is_answered(kind: str) -> None:
    is_gone_after(routing.route, kind)  # models and routers are made
    assert is_gone_after(routing.route, kind)


@pytest.mark.usefixtures("no_collector")
def test_so_is_one_that_moto_has_answered() -> None:
    application, told = _plain(create_backend_app("sts")), list[Any]()

    def answer(environ: dict[str, Any]) -> None:
        body = b"".join(application(environ, lambda *arguments: told.append(arguments[0])))
        assert b"GetCallerIdentityResult" in body

    is_gone_after(answer, routing.FORM)
    assert is_gone_after(answer, routing.FORM)
    assert told == ["200 OK"] * 2
