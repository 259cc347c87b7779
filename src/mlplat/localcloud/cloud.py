"""One account and region of the local cloud, as families of operations and executors work with it."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlplat.localcloud.changes import Changes, WatchedLock
from mlplat.localcloud.clock import Clock
from mlplat.localcloud.freshness import Freshness
from mlplat.localcloud.locks import Locks
from mlplat.localcloud.supervisor import Supervisor

log = logging.getLogger(__name__)

TAGS = ":tags"
"""The name under which the tags are kept."""

ACCOUNT = "123456789012"
"""The one account of the local cloud."""

LONGEST_FUNCTION, LONGEST_ANSWER = 900, 60
"""Seconds that a call to itself may take: of a function (Lambda lets none run longer), and of anything else."""

AGENT = "mlplat-localcloud"
"""Part of the User-Agent of calls that the local cloud makes to itself; the request log marks them `internal`."""


@dataclass(frozen=True)
class Host:
    """What all regions of one local cloud share."""

    address: str
    """http://127.0.0.1:<port>"""
    folder: Path
    """`.mlplat/local`: everything that the local cloud keeps on disk."""
    access_key: str
    secret_key: str
    supervisor: Supervisor
    transition_delay: float = 0.5
    """Seconds that objects stay Creating, Updating, Deleting."""
    freshness: Freshness = field(default_factory=Freshness)
    locks: Locks = field(default_factory=Locks)
    changes: Changes = field(default_factory=Changes)
    clock: Clock = field(default_factory=Clock)
    """By which alarms, schedules and retries go."""
    enforce_iam: bool = False
    """Whether executors act with their role's own credentials, and are refused what its policies don't allow."""


class Cloud:
    """One account and region: its own objects, a client to itself, work in the background, child processes.

    `store(name)` holds objects as dicts in the shape that Describe answers with, and values are plain
    (text, numbers, None, lists, dicts, datetimes), so that they can be written to disk. The stores:
    models, endpoint_configs, endpoints, feature_groups, model_package_groups, model_packages (by ARN),
    training_jobs, tuning_jobs, processing_jobs, transform_jobs, notebook_instances, pipelines, pipeline_executions
    (by ARN), function_events (by request id), quota_requests (by id).
    Read and change them while holding `lock`; never call `aws(...)` with it held.
    What is in them, and the tags, is there again after a restart; all else is not. A family whose objects were on
    their way when the local cloud ended has a method `resume`, called once after the restart, that sees them through;
    one that does things as time goes by has a method `beat(now)`, called every second.
    """

    def __init__(
        self, host: Host, region: str, account: str = ACCOUNT, kept: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        self.host, self.region, self.account = host, region, account
        self.address, self.folder, self.supervisor = host.address, host.folder, host.supervisor
        self.transition_delay = host.transition_delay
        self.clock = host.clock
        self.lock = WatchedLock()
        self._stores: dict[str, dict[str, Any]] = {name: dict(things) for name, things in (kept or {}).items()}
        self.tags: dict[str, dict[str, str]] = self._stores.pop(TAGS, {})
        """Tags of our own SageMaker objects by ARN. Whoever creates an object adds its entry, even an empty one."""
        self._clients: dict[str, Any] = {}
        self._clients_lock = threading.Lock()
        self._timers: set[threading.Timer] = set()
        self._closed = False

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`."""
        return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rsplit("-", 2)[0], "aws")

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """The ARN of `model/churn` and such."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def now(self) -> datetime:
        """The time, in UTC and to the millisecond, as AWS tells it."""
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def store(self, name: str) -> dict[str, Any]:
        """The objects of one kind by name, in the order they were made."""
        return self._stores.setdefault(name, {})

    def kept(self) -> dict[str, dict[str, bytes]]:
        """All objects and the tags, each as bytes. Call it with `lock` held."""
        stores = {**self._stores, TAGS: self.tags}
        return {
            name: {key: pickle.dumps(thing, protocol=5) for key, thing in list(things.items())}
            for name, things in list(stores.items())
        }

    def tag(self, arn: str, tags: list[dict[str, str]] | None) -> None:
        """Register an object and its tags, given as the request has them (`[{"Key": ..., "Value": ...}]`)."""
        self.tags[arn] = {each["Key"]: each.get("Value", "") for each in tags or ()}

    def environment(self) -> dict[str, str]:
        """The variables with which a child process calls this local cloud as any AWS client would."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": self.host.access_key,
            "AWS_SECRET_ACCESS_KEY": self.host.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def aws(self, service: str) -> Any:
        """A boto3 client of the local cloud itself, made once and safe to share between threads."""
        with self._clients_lock:
            if service not in self._clients:
                self._clients[service] = self._client(service)
            return self._clients[service]

    def _client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            user_agent_extra=AGENT,
            max_pool_connections=32,
            proxies={},
            read_timeout=LONGEST_FUNCTION if service == "lambda" else LONGEST_ANSWER,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        session = boto3.Session(*self._credentials(), region_name=self.region)
        return session.client(service, endpoint_url=self.address, config=config)

    def _credentials(self) -> tuple[str, str, str | None]:
        """Access key, secret key and, of a session, its token."""
        return self.host.access_key, self.host.secret_key, None

    def later(self, fn: Callable[[], object], delay: float | None = None) -> None:
        """Run `fn` in a thread of its own after `delay` seconds (default `transition_delay`); errors are logged."""

        def run() -> None:
            self._timers.discard(timer)
            if self._closed:
                return
            try:
                fn()
            except Exception:
                if not self._closed:
                    log.exception("background work failed")

        timer = threading.Timer(self.transition_delay if delay is None else delay, run)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    @property
    def closed(self) -> bool:
        """Whether the local cloud is being stopped: what ends now was ended on purpose."""
        return self._closed

    def close(self) -> None:
        """Start no more work in the background."""
        self._closed = True
        for timer in list(self._timers):
            timer.cancel()
