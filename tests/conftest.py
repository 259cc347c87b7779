"""A real local cloud for the whole test session: its own process, its own folder, no waiting for statuses."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import create_loader
from hypothesis import settings
from tests import strict_requests

from mlplat.aws import Session
from mlplat.localcloud import daemon, request_log

for name in [name for name in os.environ if name.startswith(("AWS_", "MLPLAT_", "COLUMNS"))]:
    del os.environ[name]  # neither the developer's account nor their settings nor their window are any test's business
os.environ |= {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
settings.register_profile("same", derandomize=True, deadline=None)  # a change is judged by itself, not by chance
settings.load_profile("same")  # or by the clock; the long suite goes on looking for what nobody has seen yet
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's background jobs have it; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Paths(list[str]):
    """Folders in the order in which they came, each once: every session of boto3's appends its own to its loader."""

    def append(self, path: str) -> None:
        if path not in self:
            super().append(path)


@cache
def shared_loader(search_path: str | None = None) -> Any:
    """One loader of AWS's service models for all sessions of this process.

    Each test, and each command that is run in this process, has sessions of its own; reading the models from disk
    again for each of them takes ten times as long as all the rest of making a client.
    """
    loader = create_loader(search_path)
    loader._search_paths = Paths(loader._search_paths)
    return loader


botocore.session.create_loader = shared_loader


class StrictSession(Session):
    """The product's session, which refuses what AWS would refuse by its service models."""

    def _boto_client(self, service: str, attempts: int = 1) -> Any:
        made = super()._boto_client(service, attempts)
        strict_requests.watch(made)
        return made


class RunningCloud:
    """A local cloud as tests talk to it."""

    def __init__(self, address: daemon.Address) -> None:
        self.address = address
        self.url, self.folder, self.account = address.url, address.folder, address.account
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What `mlplat local env` exports, for subprocesses."""
        return self.address.environment()

    def client(self, service: str, region: str = "us-east-1", **config: Any) -> Any:
        """A plain boto3 client, as any user's program has it."""
        import boto3
        from botocore.config import Config

        made = self._clients.get((service, region))
        if made is None or config:
            session = boto3.Session(self.address.access_key, self.address.secret_key, region_name=region)
            made = session.client(service, endpoint_url=self.url, config=Config(**config))
            if not config:
                self._clients[service, region] = made
        return made

    def session(self, namespace: str = "test", region: str = "us-east-1") -> Session:
        """The product's own session on this local cloud, its requests checked as AWS checks them."""
        return StrictSession(
            namespace,
            region,
            endpoint_url=self.url,
            credentials=(self.address.access_key, self.address.secret_key),
        )

    def requests(self, since: int = 0) -> list[dict[str, Any]]:
        """The request log after its first `since` records, without the calls the local cloud makes to itself."""
        return [each for each in list(request_log.records(self.folder))[since:] if not each["internal"]]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """One local cloud for all tests; objects of one test must not bear another's names."""
    folder: Path = tmp_path_factory.mktemp("cloud") / ".mlplat" / "local"
    address = daemon.start(folder, transition_delay=0.0)
    yield RunningCloud(address)
    daemon.stop(folder)
