"""Glue crawlers: what looks through folders of S3 and keeps tables of what it finds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session
from mlplat.errors import ApiError
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.glue import arn_of, claim, tags_of

STOPS_WITHIN = 1800.0


@dataclass(frozen=True, kw_only=True)
class GlueCrawler(Resource):
    """A crawler of S3 folders.

    What AWS makes special (Glue API reference, "Crawlers"; terraform-provider-aws `internal/service/glue/crawler.go`):

    - A crawler that runs can be neither changed nor deleted (CrawlerRunningException): a change waits for its end, a
      delete stops it.
    - The role is given as an ARN and told as its name with path; a role made seconds ago is refused.
    - A schedule is cron, in UTC; UpdateCrawler with an empty one takes it away.
    - Tables that it made stay when it is deleted. What it no longer finds is only written to its log (LOG): a folder
      that was emptied is no reason to lose a table's definition.
    """

    kind: ClassVar[str] = "glue_crawler"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    role: str | Ref
    """The role's name."""
    database: str | Ref
    folders: Sequence[str | Ref]
    """s3:// addresses that end in /."""
    table_prefix: str = ""
    table_level: int | None = None
    """How deep the folders are that become tables, the bucket being 1; None leaves it to the crawler's guesses."""
    schedule: str = ""
    description: str = ""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The crawler by its name, which is its id."""
        glue, name = aws.client("glue"), id or self.name
        crawler = aws.find(lambda: glue.get_crawler(Name=name)["Crawler"])
        if crawler is None:
            return None
        arn = arn_of(aws, "crawler", name)
        fields = {
            "name": name,
            "role": crawler["Role"].rpartition("/")[2],
            "database": crawler.get("DatabaseName"),
            "folders": [each["Path"] for each in crawler["Targets"].get("S3Targets", ())],
            "table_prefix": crawler.get("TablePrefix", ""),
            "table_level": _grouping(crawler).get("TableLevelConfiguration"),
            "schedule": crawler.get("Schedule", {}).get("ScheduleExpression", ""),
            "description": crawler.get("Description", ""),
        }
        return Observed(name, fields, {"name": name, "arn": arn}, tags_of(aws, arn))

    def create(self, aws: Session) -> str:
        """CreateCrawler with tags."""
        aws.client("glue").create_crawler(Name=self.name, Tags=aws.tags, **self._definition())
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The whole definition, once it runs no more, and tags."""
        glue = aws.client("glue")
        if "tags" in changed:
            claim(aws, seen)
        if changed - {"tags"}:
            self._wait(aws, self.name)
            glue.update_crawler(Name=self.name, **self._definition())

    def delete(self, aws: Session, id: str) -> None:
        """Stop it where it runs, and delete it."""
        glue = aws.client("glue")
        with aws.gone_is_fine():
            if _state(aws, id) == "RUNNING":
                _stop(aws, id)
            self._wait(aws, id)
            glue.delete_crawler(Name=id)

    def _wait(self, aws: Session, id: str) -> None:
        aws.wait(
            f"crawler {id} to end", lambda: _state(aws, id), lambda state: state in ("READY", None), within=STOPS_WITHIN
        )

    def _definition(self) -> dict[str, Any]:
        level = self.table_level
        grouping = {} if level is None else {"Grouping": {"TableLevelConfiguration": level}}
        return {
            "Role": self.role,
            "DatabaseName": self.database,
            "Description": self.description,
            "Targets": {"S3Targets": [{"Path": each} for each in self.folders]},
            "TablePrefix": self.table_prefix,
            "SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"},
            "Configuration": json.dumps({"Version": 1.0, **grouping}),
            "Schedule": self.schedule,
        }


def _grouping(crawler: Mapping[str, Any]) -> Mapping[str, Any]:
    """Developer guide, "Setting crawler configuration options": JSON in a text."""
    found: Mapping[str, Any] = json.loads(crawler.get("Configuration") or "{}").get("Grouping", {})
    return found


def _state(aws: Session, name: str) -> str | None:
    found = aws.find(lambda: aws.client("glue").get_crawler(Name=name)["Crawler"])
    return None if found is None else str(found["State"])


def _stop(aws: Session, name: str) -> None:
    try:
        aws.client("glue").stop_crawler(Name=name)
    except ApiError as error:
        if error.code not in ("CrawlerNotRunningException", "CrawlerStoppingException"):  # it has just ended
            raise
