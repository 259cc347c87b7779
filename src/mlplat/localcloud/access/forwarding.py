"""What a service does in its caller's name (forward access sessions): Athena reads tables and files as who asks.

IAM user guide, "Forward access sessions"; Athena user guide, "Fine-grained access to databases and tables".
"""

from __future__ import annotations

from contextvars import ContextVar

from mlplat.localcloud import signatures
from mlplat.localcloud.access import callers
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.routing import Route

_KEYS: ContextVar[dict[str, str] | None] = ContextVar("keys of the caller", default=None)


def remember(route: Route, cloud: Cloud) -> None:
    """Whose request this thread answers now; nobody's in particular, when it is the local cloud's own key."""
    if route.access_key is None or callers.of(route.access_key, cloud) is None:
        _KEYS.set(None)
        return
    token = route.request.headers.get("X-Amz-Security-Token")
    keys = {"AWS_ACCESS_KEY_ID": route.access_key, "AWS_SECRET_ACCESS_KEY": signatures.issued_secret(route)}
    _KEYS.set({**keys, **({"AWS_SESSION_TOKEN": token} if token else {})})


def environment(cloud: Cloud) -> dict[str, str]:
    """The variables of a child process that works for the request of this thread: with its caller's keys."""
    return {**cloud.environment(), **(_KEYS.get() or {})}
