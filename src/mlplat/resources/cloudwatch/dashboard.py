"""CloudWatch dashboards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.errors import NotSettled
from mlplat.resources.base import Observed, Resource
from mlplat.resources.cloudwatch import claim, tags_of


@dataclass(frozen=True, kw_only=True)
class Dashboard(Resource):
    """A dashboard.

    What AWS makes special (API reference, PutDashboard):

    - Dashboards belong to all regions of an account: two with one name are one. A name should say the region.
    - PutDashboard replaces the whole body, makes what isn't there, and takes tags only then.
    - What it doesn't understand it may save nevertheless, and say so in DashboardValidationMessages.
    """

    kind: ClassVar[str] = "dashboard"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    widgets: Sequence[Mapping[str, Any]]
    """As CloudWatch's "Dashboard body structure and syntax" has them."""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The dashboard by its name, which is its id."""
        cloudwatch, name = aws.client("cloudwatch"), id or self.name
        found = aws.find(lambda: cloudwatch.get_dashboard(DashboardName=name))
        if found is None:
            return None
        arn = found["DashboardArn"]
        fields = {"name": name, "widgets": json.loads(found["DashboardBody"]).get("widgets", [])}
        return Observed(name, fields, {"name": name, "arn": arn}, tags_of(aws, arn))

    def create(self, aws: Session) -> str:
        """PutDashboard with tags."""
        self._put(aws, Tags=tag_list(aws.tags))
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The whole body, and tags."""
        if "tags" in changed:
            claim(aws, seen)
        if "widgets" in changed:
            self._put(aws)

    def delete(self, aws: Session, id: str) -> None:
        """DeleteDashboards, which refuses a name that isn't there."""
        with aws.gone_is_fine():
            aws.client("cloudwatch").delete_dashboards(DashboardNames=[id])

    def _put(self, aws: Session, **tags: Any) -> None:
        body = json.dumps({"widgets": list(self.widgets)})
        answer = aws.client("cloudwatch").put_dashboard(DashboardName=self.name, DashboardBody=body, **tags)
        if messages := answer.get("DashboardValidationMessages"):
            told = "; ".join(f"{each.get('DataPath', '')}: {each.get('Message', '')}" for each in messages)
            raise NotSettled(f"writing dashboard {self.name}: saved, but not all of it is understood: {told}")
