"""One crawl: the objects of its S3 targets read, grouped into tables, and written to the catalog in its role's name.

Developer guide, "How crawlers work" and "Parameters set on Data Catalog tables by crawler". Other targets than S3, and
custom classifiers, make a crawl fail here.
"""

from __future__ import annotations

import fnmatch
import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from mlplat.localcloud.access import acting
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import bus
from mlplat.localcloud.executors.container_log import ContainerLog
from mlplat.localcloud.executors.s3_data import Place
from mlplat.localcloud.glue import catalog, folders
from mlplat.localcloud.glue.classifiers import Unreadable, classified
from mlplat.localcloud.glue.folders import File, Found

log = logging.getLogger(__name__)

LOG_GROUP = "/aws-glue/crawlers"
SESSION = "AWS-Crawler"
SAMPLE = 1 << 20
"""Bytes that are read of a text file."""


class CrawlFailed(Exception):
    """The crawl has failed; the message is its ErrorMessage."""


class Stopped(Exception):
    """StopCrawler was called."""


class Crawl:
    """One crawl of a crawler, as it was when the crawl began; `record` is in the shape of CrawlerHistory."""

    def __init__(
        self, cloud: Cloud, crawler: Mapping[str, Any], record: dict[str, Any], stopping: threading.Event
    ) -> None:
        self._origin, self._crawler, self.record, self._stopping = cloud, crawler, record, stopping
        role = crawler["Role"]
        arn = role if role.startswith("arn:") else f"arn:{cloud.partition}:iam::{cloud.account}:role/{role}"
        self._cloud = acting(cloud, arn, SESSION)
        self._made = {"Created": 0, "Updated": 0, "Deleted": 0}

    @property
    def summary(self) -> str:
        """CrawlerHistory's Summary: what became of tables."""
        details = json.dumps({name: {"TABLE": count} for name, count in self._made.items() if count})
        return json.dumps({"TABLE": details})

    def run(self) -> tuple[str, str | None]:
        """Crawl; (COMPLETED, STOPPED or FAILED; ErrorMessage)."""
        self._log = ContainerLog(self._cloud, LOG_GROUP, self._crawler["Name"])
        self._tell("Started")
        try:
            self._say("BENCHMARK", f"Running Start Crawl for Crawler {self._crawler['Name']}")
            self._crawl()
            end: tuple[str, str | None] = "COMPLETED", None
        except Stopped:
            end = "STOPPED", None
        except (CrawlFailed, Unreadable) as error:
            end = "FAILED", str(error)
        except Exception as error:
            log.exception("crawler %s", self._crawler["Name"])
            end = "FAILED", f"Internal Service Exception: the local cloud could not crawl: {error!r}"
        if end[1]:
            self._say("ERROR", end[1])
        self._say("BENCHMARK", "Crawler has finished running and is in state READY")
        self._log.close()
        self._tell({"COMPLETED": "Succeeded"}.get(end[0], "Failed"), end[1])
        return end

    def _crawl(self) -> None:
        from botocore.exceptions import ClientError

        self._refuse_what_is_not_crawled()
        policy = self._crawler["SchemaChangePolicy"]
        self._say("INFO", f"Crawler configured with SchemaChangePolicy {json.dumps(policy)}.")
        try:
            tables = [found for target in self._crawler["Targets"]["S3Targets"] for found in self._target(target)]
            database = self._crawler.get("DatabaseName") or "default"
            self._say("BENCHMARK", f"Classification complete, writing results to database {database}")
            writer = catalog.Writer(self._cloud.aws("glue"), self._crawler, self._cloud.now(), self._made)
            for line in writer.write(
                database, tables, [each["Path"] for each in self._crawler["Targets"]["S3Targets"]]
            ):
                self._say("INFO", line)
        except ClientError as error:
            about = error.response["Error"]
            raise CrawlFailed(f"Service Principal: {SESSION}: {about['Code']}: {about['Message']}") from error
        self._say("BENCHMARK", "Finished writing to Catalog")

    def _refuse_what_is_not_crawled(self) -> None:
        others = [kind for kind, each in self._crawler["Targets"].items() if each and kind != "S3Targets"]
        if others or self._crawler.get("Classifiers"):
            raise CrawlFailed(
                f"The local cloud crawls S3 targets by the built-in classifiers only, not {', '.join(others)}"
                f"{', '.join(self._crawler.get('Classifiers') or ())}."
            )

    def _target(self, target: Mapping[str, Any]) -> list[Found]:
        place = Place.parse(target["Path"])
        files = list(self._files(place, target.get("Exclusions", ())))
        if not files and place.key:
            self._say("WARN", f"The S3 location: {target['Path']} contains no files.")
        level = self._grouping().get("TableLevelConfiguration")
        return folders.tables(place, files, level)

    def _grouping(self) -> Mapping[str, Any]:
        configuration = json.loads(self._crawler.get("Configuration") or "{}")
        found: Mapping[str, Any] = configuration.get("Grouping", {})
        return found

    def _files(self, place: Place, exclusions: Any) -> Iterator[File]:
        s3 = self._cloud.aws("s3")
        single = bool(place.key) and not place.key.endswith("/")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key):
            for each in page.get("Contents", ()):
                if self._stopping.is_set():
                    raise Stopped
                key = each["Key"]
                if single and key != place.key and not key.startswith(f"{place.key}/"):
                    continue
                if not each["Size"] or _is_hidden(key) or _is_excluded(key, place, exclusions):
                    continue
                yield self._file(s3, Place(place.bucket, key), int(each["Size"]))

    def _file(self, s3: Any, place: Place, size: int) -> File:
        whole = place.key.endswith((".parquet", ".gz")) or size <= SAMPLE
        part = {} if whole else {"Range": f"bytes=0-{SAMPLE - 1}"}
        body = s3.get_object(Bucket=place.bucket, Key=place.key, **part)["Body"].read()
        if body[:4] == b"PAR1" and not whole:
            body = s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
        return File(place.key, size, classified(place.uri, body, size))

    def _say(self, level: str, text: str) -> None:
        self._log.line(f"[{self.record['MessagePrefix']}] {level} : {text}")

    def _tell(self, state: str, error: str | None = None) -> None:
        """Glue's own event. User guide of EventBridge, "AWS Glue events"."""
        if "moto.events.models" not in sys.modules:
            return
        detail = {"crawlerName": self._crawler["Name"], "state": state}
        if state != "Started":
            detail |= {"message": error or "Crawler Succeeded", "cloudWatchLogLink": ""}
        self._origin.later(lambda: bus.put(self._origin, "aws.glue", "Glue Crawler State Change", [], detail), 0)


def _is_hidden(key: str) -> bool:
    return any(part.startswith(("_", ".")) for part in key.split("/") if part)


def _is_excluded(key: str, place: Place, exclusions: Any) -> bool:
    """Glob patterns relative to the include path; `**` crosses folders (developer guide, "Include and exclude")."""
    name = key.removeprefix(place.key).lstrip("/")
    return any(fnmatch.fnmatchcase(name, str(each).replace("**", "*")) for each in exclusions)
