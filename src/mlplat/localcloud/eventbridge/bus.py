"""Events on their way: put on a bus, matched by its rules (moto does both), and handed to the targets (`targets`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from mlplat.localcloud import background
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import targets
from mlplat.localcloud.eventbridge.inputs import Event

PATIENCE = 1.0
_ARCHIVE = re.compile(r'^{"archive-arn": "[^"]+:archive/([^"]+)"')
"""The rule that moto makes for an archive has this in its target."""


def put(cloud: Cloud, source: str, detail_type: str, resources: list[str], detail: Mapping[str, Any]) -> None:
    """An event of an AWS service, on the default bus of the region. Nobody but a service may say `aws.`."""
    from moto.events.models import events_backends

    backend = events_backends[cloud.account][cloud.region]
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": resources,
        "Time": cloud.clock.now().timestamp(),
    }
    with cloud.host.locks.quiet("events", PATIENCE):
        backend.put_events([entry])


def made(cloud: Cloud, source: str, detail_type: str, resources: list[str], detail: Mapping[str, Any]) -> Event:
    """An event that is for one target only, as schedules make them."""
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": cloud.account,
        "time": stamp(cloud.clock.now()),
        "region": cloud.region,
        "resources": resources,
        "detail": dict(detail),
    }


def stamp(time: datetime) -> str:
    """As events tell the time."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def register() -> None:
    """moto finds the rules and hands over; disabled rules, and schedules without a pattern, match nothing."""
    from moto.events.models import Rule

    def send(self: Any, original_event: Mapping[str, Any], **_: Any) -> None:
        if self.state == "DISABLED" or not self.event_pattern.dump():
            return
        event = _told(original_event)
        if not self.event_pattern.matches_event(event):
            return
        cloud = background.cloud(self.region_name)
        for target in list(self.targets):
            if archive := _ARCHIVE.search(target.get("InputTransformer", {}).get("InputTemplate", "")):
                self._send_to_events_archive(archive[1], original_event)
            else:
                targets.send(cloud, targets.Sender.of(self), dict(target), event)

    Rule.send_to_targets = send


def _told(original: Mapping[str, Any]) -> Event:
    """The event as targets see it."""
    time = original["time"]
    if isinstance(time, datetime):
        time = stamp(time if time.tzinfo else time.replace(tzinfo=UTC))
    elif not isinstance(time, str) or "T" not in time:
        time = stamp(datetime.fromtimestamp(float(time), UTC))
    known = {name: value for name, value in original.items() if name not in ("ingestion-time", "archive-arn")}
    return {**known, "time": time}
