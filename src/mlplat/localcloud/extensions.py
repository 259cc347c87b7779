"""Makes moto as strict as AWS: our backends and rules in place before anything is asked.

Importing a module of rules registers them (`rules`).
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from mlplat.localcloud.families import Clouds

_extending = threading.Lock()


def register(clouds: Clouds) -> None:
    """Extend the services that are quick to load."""
    from moto.core import common_models, responses, utils

    from mlplat.localcloud import (  # noqa: F401
        acls,
        alarms,
        apis,
        background,
        bounds,
        buckets,
        dashboards,
        documents,
        events,
        iam,
        kms,
        logs,
        metric_filters,
        s3,
        scaling,
        shortcuts,
        sns,
        trust,
    )
    from mlplat.localcloud.access import assuming  # noqa: F401

    responses.method_names_from_class = cache(utils.method_names_from_class)  # moto looks them up on every request
    common_models.BaseModel.__new__ = _untracked  # moto keeps everything that there ever was
    shortcuts.register()
    background.use(clouds)
    buckets.register()
    iam.register()


def _untracked(cls: type[Any], *_: Any, **__: Any) -> Any:
    return object.__new__(cls)


def extend(service: str) -> None:
    """Extend a service that takes its time to load, before moto's application for it is made."""
    if service in ("lambda", "awslambda"):
        with _extending:
            from mlplat.localcloud.lambdas import functions

            functions.register()
    if service == "events":
        with _extending:
            from mlplat.localcloud.eventbridge import bus

            bus.register()
    if service == "ec2":
        with _extending:
            from mlplat.localcloud import ec2

            ec2.register()
