"""The bucket that a team keeps its state in: one for an account and region, made before any platform is."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mlplat.aws import Session
from mlplat.errors import ForeignObject, MlplatError
from mlplat.reconciler.apply import Outcome, Watch, apply
from mlplat.reconciler.plan import Plan, plan
from mlplat.reconciler.state import State, Store
from mlplat.resources.base import Declared
from mlplat.resources.s3.bucket import Bucket
from mlplat.settings import Settings

ADDRESS = "bootstrap.bucket.state"

NOBODY = "default"
"""Whose the bucket is by its tags. No namespace can be called so, so none takes it for its own and ends it."""


@dataclass(frozen=True)
class Bootstrap:
    """The bucket as the settings want it: their name or, without one, that of the account and region."""

    settings: Settings
    session: Session

    @cached_property
    def bucket(self) -> str:
        """Its name."""
        aws = self.session
        return self.settings.state.bucket or f"mlplat-state-{aws.account}-{aws.region}"

    @property
    def lines(self) -> str:
        """What the configuration says to use it."""
        return f'[state]\nbackend = "s3"\nbucket = "{self.bucket}"'

    def plan(self, *, adopt: bool = False) -> Plan:
        """What would be done. Reads only."""
        with _again():
            return plan(self._session, State(NOBODY), [self._declared()], scope=None, adopt=[ADDRESS] if adopt else [])

    def apply(self, made: Plan, watch: Watch) -> Outcome:
        """Do it. What is remembered meanwhile is thrown away: name and tags tell the bucket the next time."""
        with tempfile.TemporaryDirectory() as folder, _again():
            return apply(made, self._session, Store(Path(folder), NOBODY), within=self.time_limit, watch=watch)

    @property
    def time_limit(self) -> float:
        """Seconds. The name of a bucket deleted just now is refused for up to an hour, and that is waited out."""
        return self.settings.apply.timeout_minutes * 60.0

    @property
    def _session(self) -> Session:
        return replace(self.session, namespace=NOBODY)

    def _declared(self) -> Declared:
        bucket = Bucket(
            name=self.bucket,
            kms_key=self.settings.state.kms_key,
            policy=self._policy(),
            lifecycle=self._lifecycle(),
        )
        return Declared(ADDRESS, bucket)

    def _policy(self) -> dict[str, Any]:
        """TLS or nothing."""
        arn = f"arn:{self.session.partition}:s3:::{self.bucket}"
        deny = {
            "Sid": "OnlyOverTls",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        return {"Version": "2012-10-17", "Statement": [deny]}

    def _lifecycle(self) -> list[dict[str, Any]]:
        """Every apply leaves versions of its journal and its lock."""
        return [
            {
                "ID": "old-versions",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "NoncurrentVersionExpiration": {"NoncurrentDays": self.settings.storage.noncurrent_days},
                "Expiration": {"ExpiredObjectDeleteMarker": True},
            }
        ]


@contextmanager
def _again() -> Iterator[None]:
    """Hints are about namespaces, and the bucket is in none."""
    try:
        yield
    except MlplatError as error:
        if f"--namespace {NOBODY}" in (error.hint or ""):
            error.hint = "mlplat bootstrap --adopt" if isinstance(error, ForeignObject) else "mlplat bootstrap"
        raise
