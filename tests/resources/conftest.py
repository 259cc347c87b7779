"""The world that kinds are tested in: a corner of the local cloud."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.resources.contract")

from tests.resources.contract import World  # noqa: E402

from mlplat.aws import Session  # noqa: E402


class _PlainMoto:
    """moto's own server, until the local cloud is there."""

    def __init__(self, url: str) -> None:
        self.url = url

    def session(self, namespace: str = "test", region: str = "us-east-1") -> Session:
        return Session(namespace=namespace, region=region, endpoint_url=self.url, credentials=("test", "test"))

    def client(self, service: str) -> Any:
        return self.session().client(service).boto


@pytest.fixture(scope="session")
def cloud() -> Iterator[_PlainMoto]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield _PlainMoto(f"http://{host}:{port}")
    server.stop()


@pytest.fixture
def world(cloud: Any) -> World:
    """A session bound to a fresh address, unique names, and prerequisites made when asked for."""
    return World(session=cloud.session(), client=cloud.client)
