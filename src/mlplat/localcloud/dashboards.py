"""CloudWatch's dashboards: a body that can be read, and tags."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from mlplat.localcloud import wire
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.wire import Reply

NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
TYPES = ("metric", "text", "log", "alarm")
MOST = 500
"""Widgets of a dashboard (user guide, "CloudWatch service quotas")."""


@before("cloudwatch", "PutDashboard")
def a_dashboard_that_can_be_drawn(asked: Asked) -> None:
    """User guide, "Dashboard body structure and syntax". AWS says more with each message, and warns of what it can."""
    request, problems = asked.request, []
    if not NAME.fullmatch(request["DashboardName"]):
        problems.append("The value for field DashboardName contains invalid characters")
    try:
        problems += _problems(json.loads(request["DashboardBody"]))
    except ValueError:
        problems.append("The field DashboardBody must be a valid JSON object")
    if problems:
        raise AwsError("InvalidParameterInput", f"The dashboard body is invalid: {'; '.join(problems)}")
    asked.route.memo["new"] = request["DashboardName"] not in asked.backend().dashboards


@after("cloudwatch", "PutDashboard")
def tags_are_taken_once(asked: Asked, _reply: Reply) -> None:
    """API reference: for a dashboard that exists they are ignored."""
    if asked.route.memo["new"]:
        with asked.cloud.lock:
            asked.cloud.tag(_arn(asked, asked.request["DashboardName"]), asked.request.get("Tags"))


@after("cloudwatch", "DeleteDashboards")
def tags_go_with_it(asked: Asked, _reply: Reply) -> None:
    """They are not for another of that name."""
    with asked.cloud.lock:
        for name in asked.request["DashboardNames"]:
            asked.cloud.tags.pop(_arn(asked, name), None)


@before("cloudwatch", "ListTagsForResource", "TagResource", "UntagResource")
def dashboards_have_tags(asked: Asked) -> Reply | None:
    """moto knows those of alarms."""
    arn = asked.request["ResourceARN"]
    if ":dashboard/" not in arn:
        return None
    with asked.cloud.lock:
        tags = asked.cloud.tags.get(arn)
        if tags is None or arn.rpartition("/")[2] not in asked.backend().dashboards:
            raise AwsError("ResourceNotFoundException", f"Unknown dashboard {arn}", 404)
        tags |= {each["Key"]: each["Value"] for each in asked.request.get("Tags", ())}
        for key in asked.request.get("TagKeys", ()):
            tags.pop(key, None)
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return wire.answer(asked.route, {"Tags": listed} if asked.route.operation_name == "ListTagsForResource" else None)


def _problems(body: Any) -> Iterator[str]:
    widgets = body.get("widgets") if isinstance(body, dict) else None
    if not isinstance(widgets, list):
        yield "/widgets: should be an array"
        return
    if len(widgets) > MOST:
        yield f"/widgets: should NOT have more than {MOST} items"
    for number, widget in enumerate(widgets):
        kind = widget.get("type") if isinstance(widget, dict) else None
        if kind not in TYPES:
            yield f"/widgets/{number}/type: should be equal to one of the allowed values"
        elif not isinstance(widget.get("properties"), dict):
            yield f"/widgets/{number}: should have required property 'properties'"
        elif kind == "metric":
            yield from _of_metrics(f"/widgets/{number}", widget)


def _of_metrics(path: str, widget: dict[str, Any]) -> Iterator[str]:
    properties = widget["properties"]
    if not 1 <= widget.get("width", 6) <= 24 or not 0 <= widget.get("x", 0) <= 23:
        yield f"{path}: should be within the 24 columns"
    metrics = properties.get("metrics", [])
    if not metrics and "annotations" not in properties:
        yield f"{path}/properties: should have required property 'metrics'"
    if "region" not in properties:
        yield f"{path}/properties: should have required property 'region'"
    for number, metric in enumerate(metrics):
        named = [each for each in metric if isinstance(each, str)]
        if not isinstance(metric[-1], dict | str) or (named and len(named) % 2):
            yield f"{path}/properties/metrics/{number}: should have a namespace, a name, and dimensions in pairs"


def _arn(asked: Asked, name: str) -> str:
    """Without a region: a dashboard is the whole account's."""
    return f"arn:{asked.cloud.partition}:cloudwatch::{asked.cloud.account}:dashboard/{name}"
