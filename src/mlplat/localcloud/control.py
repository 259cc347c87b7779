"""What can be asked of the local cloud itself, beside AWS's calls: paths under /_localcloud/, for who has its key."""

from __future__ import annotations

import hmac
import json
from typing import Any
from urllib.parse import parse_qs

from mlplat.localcloud.cloud import Host
from mlplat.localcloud.families import Clouds
from mlplat.localcloud.wire import Reply

PING = "/_localcloud/ping"
"""Answers the instance's id to anybody: that is how `daemon` knows that it talks to the right process."""
INTERRUPT = "/_localcloud/interrupt"
"""Takes the spot instances of a training job away: `?job=NAME&region=REGION&seconds=SECONDS`."""
ADVANCE = "/_localcloud/advance"
"""Moves the clock of alarms, schedules and retries ahead: `?seconds=SECONDS`. What is due by then has begun."""


class Control:
    """Answers these paths."""

    def __init__(self, host: Host, instance: str, clouds: Clouds) -> None:
        self._host, self._instance, self._clouds = host, instance, clouds

    def answer(self, environ: dict[str, Any]) -> Reply | None:
        """The reply, or None for a path that isn't ours."""
        path = environ.get("PATH_INFO")
        if path == PING:
            return self._pong(environ)
        asked = {INTERRUPT: self._interrupt, ADVANCE: self._advance}.get(path or "")
        if asked is None:
            return None
        return asked(_query(environ)) if self._knows_key(environ) else _reply(403, {"error": "not yours"})

    def _knows_key(self, environ: dict[str, Any]) -> bool:
        return hmac.compare_digest(environ.get("HTTP_X_SECRET_KEY", "").encode(), self._host.secret_key.encode())

    def _pong(self, environ: dict[str, Any]) -> Reply:
        told: dict[str, Any] = {"instance": self._instance}
        if self._knows_key(environ):
            supervisor = self._host.supervisor
            told["sandbox"] = supervisor.sandbox
            told["children"] = sorted(child.label for child in supervisor.children)
        return _reply(200, told)

    def _advance(self, asked: dict[str, str]) -> Reply:
        self._clouds.heart.advance(float(asked["seconds"]))
        return _reply(200, {"now": self._host.clock.now().isoformat()})

    def _interrupt(self, asked: dict[str, str]) -> Reply:
        from mlplat.localcloud.executors import training

        try:
            training.interrupt(self._clouds.cloud(asked["region"]), asked["job"], float(asked["seconds"]))
        except training.NotInterruptible as error:
            return _reply(200, {"error": str(error)})
        return _reply(200, {})


def _query(environ: dict[str, Any]) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}


def _reply(status: int, told: dict[str, Any]) -> Reply:
    return Reply(status, {"Content-Type": "application/json"}, json.dumps(told).encode())
