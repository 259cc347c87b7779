"""A cloud as a role sees it: every call is made with the credentials of a session of that role."""

from __future__ import annotations

import threading
from typing import Any

from mlplat.localcloud.cloud import Cloud

SESSION = "SageMaker"
"""What SageMaker calls its sessions."""

LONGEST = 5 * 24 * 3600
"""Seconds: no job runs longer. On AWS the credentials of a container are renewed; here they last."""


def acting(cloud: Cloud, role: str, session: str = SESSION) -> Cloud:
    """The cloud for what runs as the role; the cloud itself, where IAM is not enforced."""
    return Acting(cloud, role, session) if cloud.host.enforce_iam and role else cloud


class Actors:
    """The cloud as many roles see it, each made once: clients are dear."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._lock = cloud, threading.Lock()
        self._by_role: dict[str, Cloud] = {}

    def of(self, role: str) -> Cloud:
        """As `acting`."""
        with self._lock:
            if role not in self._by_role:
                self._by_role[role] = acting(self._cloud, role)
            return self._by_role[role]


class Acting(Cloud):
    """The same cloud with other credentials. It is equal to the one that it comes from, so it finds the same things."""

    def __init__(self, cloud: Cloud, role: str, session: str) -> None:
        self.__dict__ |= {name: value for name, value in cloud.__dict__.items() if name != "_closed"}
        self._origin, self._role, self._session = cloud, role, session
        self._clients = {}
        self._clients_lock = threading.RLock()  # type: ignore[assignment]  # held while a client is made, which needs keys
        self._assumed: Any = None

    @property
    def closed(self) -> bool:
        """As the origin."""
        return self._origin.closed

    def __eq__(self, other: object) -> bool:
        return self._origin is other or (isinstance(other, Acting) and self._origin is other._origin)

    def __hash__(self) -> int:
        return hash(self._origin)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._origin, name)

    def environment(self) -> dict[str, str]:
        """With the session's keys and token."""
        key, secret, token = self._keys()
        own = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}
        return super().environment() | own

    def _credentials(self) -> tuple[str, str, str | None]:
        return self._keys()

    def _keys(self) -> tuple[str, str, str]:
        from moto.sts.models import sts_backends

        with self._clients_lock:
            if self._assumed is None:
                backend = sts_backends[self.account][self.partition]
                self._assumed = backend.assume_role(
                    region_name=self.region,
                    role_session_name=self._session,
                    role_arn=self._role,
                    policy="",
                    duration=LONGEST,
                    external_id="",
                )
        made = self._assumed
        return made.access_key_id, made.secret_access_key, made.session_token
