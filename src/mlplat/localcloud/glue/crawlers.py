"""Glue's crawlers: with a role that lets them in, left alone while they run. What a crawl does is in `crawling`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE
from mlplat.localcloud.glue import timing, triggers
from mlplat.localcloud.glue.crawling import LOG_GROUP, Crawl
from mlplat.localcloud.glue.errors import exists, invalid, not_found
from mlplat.localcloud.glue.pages import page
from mlplat.localcloud.glue.tags import are_on, tag
from mlplat.localcloud.trust import lets_in

Record = dict[str, Any]

STORE = "glue_crawlers"
SERVICE = "glue.amazonaws.com"
UNASSUMABLE = "Service is unable to assume provided role. Please verify role's TrustPolicy"
POLICY = {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"}
"""API reference, SchemaChangePolicy."""
TARGETS = (
    "S3Targets", "JdbcTargets", "MongoDBTargets", "DynamoDBTargets", "CatalogTargets", "DeltaTargets",
    "IcebergTargets", "HudiTargets",
)  # fmt: skip

_STOPPING: weakref.WeakKeyDictionary[Cloud, dict[str, threading.Event]] = weakref.WeakKeyDictionary()


class Crawlers:
    """The operations on crawlers of one region."""

    service = "glue"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._crawlers = cloud.store(STORE)

    def create_crawler(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a crawler; its database need not be there, a crawl makes it."""
        name = request["Name"]
        with self._cloud.lock:
            if name in self._crawlers:
                raise exists(f"Crawler with name {name} already exists")
        self._check(name, request)
        now = self._cloud.now()
        made = {key: each for key, each in request.items() if key not in ("Tags", "Schedule")}
        with self._cloud.lock:
            self._crawlers[name] = _defaults() | made | _scheduled(request.get("Schedule")) | {
                "State": "READY", "CreationTime": now, "LastUpdated": now, "Version": 1, "Crawls": [],
                "CrawlElapsedTime": 0,
            }  # fmt: skip
            tag(self._cloud, self._arn(name), request.get("Tags"))
        return {}

    def update_crawler(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change what the request names; not while it runs (API reference)."""
        name = request["Name"]
        with self._cloud.lock:
            merged = self._find(name) | request
        self._check(name, merged | {"Schedule": request.get("Schedule")})
        with self._cloud.lock:
            found = self._find(name)
            self._refuse_running(found)
            found |= {key: each for key, each in request.items() if key != "Schedule"}
            found |= _scheduled(request.get("Schedule")) if "Schedule" in request else {}
            found |= {"LastUpdated": self._cloud.now(), "Version": found["Version"] + 1}
        return {}

    def get_crawler(self, request: dict[str, Any]) -> dict[str, Any]:
        """One crawler."""
        with self._cloud.lock:
            return {"Crawler": self._told(self._find(request["Name"]))}

    def get_crawlers(self, request: dict[str, Any]) -> dict[str, Any]:
        """All crawlers."""
        with self._cloud.lock:
            found, token = page([self._told(each) for each in self._crawlers.values()], request)
        return {"Crawlers": found, "NextToken": token}

    def list_crawlers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Their names, of those with the tags."""
        with self._cloud.lock:
            names = [name for name in self._crawlers if are_on(self._cloud, self._arn(name), request.get("Tags"))]
        found, token = page(names, request)
        return {"CrawlerNames": found, "NextToken": token}

    def batch_get_crawlers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Several crawlers, and the names of those that aren't there."""
        names = request["CrawlerNames"]
        with self._cloud.lock:
            found = [self._told(self._crawlers[name]) for name in names if name in self._crawlers]
        return {"Crawlers": found, "CrawlersNotFound": [name for name in names if name not in self._crawlers]}

    def delete_crawler(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete a crawler that doesn't run; its tables stay."""
        name = request["Name"]
        with self._cloud.lock:
            self._refuse_running(self._find(name))
            del self._crawlers[name]
            self._cloud.tags.pop(self._arn(name), None)
        return {}

    def start_crawler(self, request: dict[str, Any]) -> dict[str, Any]:
        """Begin a crawl."""
        with self._cloud.lock:
            found = self._find(request["Name"])
            if found["State"] != "READY":  # wording as moto's users saw it
                raise AwsError("CrawlerRunningException", f"Crawler with name {found['Name']} has already started")
            record = {
                "CrawlId": str(uuid4()),
                "State": "RUNNING",
                "StartTime": self._cloud.now(),
                "LogGroup": LOG_GROUP,
                "LogStream": found["Name"],
                "MessagePrefix": str(uuid4()),
            }
            found["State"] = "RUNNING"
            found["Crawls"] = [*found["Crawls"][-99:], record]
            stopping = _stopping(self._cloud)[found["Name"]] = threading.Event()
            crawl = Crawl(self._cloud, dict(found), record, stopping)
        self._cloud.later(partial(self._run, found, crawl))
        return {}

    def stop_crawler(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask a crawl to end: STOPPING until it has."""
        with self._cloud.lock:
            found = self._find(request["Name"])
            if found["State"] == "STOPPING":
                raise AwsError("CrawlerStoppingException", f"Crawler with name {found['Name']} is stopping")
            if found["State"] != "RUNNING":
                raise AwsError("CrawlerNotRunningException", f"Crawler with name {found['Name']} isn't running")
            found["State"] = "STOPPING"
            _stopping(self._cloud)[found["Name"]].set()
        return {}

    def list_crawls(self, request: dict[str, Any]) -> dict[str, Any]:
        """The crawls of a crawler, the newest first. Filters are refused."""
        if request.get("Filters"):
            raise invalid("The local cloud does not implement filters of ListCrawls.")
        with self._cloud.lock:
            crawls = [dict(each) for each in reversed(self._find(request["CrawlerName"])["Crawls"])]
        found, token = page(crawls, request, 20)
        return {"Crawls": found, "NextToken": token}

    def start_crawler_schedule(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let the schedule start crawls again."""
        return self._set_schedule(request["CrawlerName"], "NOT_SCHEDULED", "SCHEDULED")

    def stop_crawler_schedule(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let the schedule start no more crawls; one that runs goes on."""
        return self._set_schedule(request["CrawlerName"], "SCHEDULED", "NOT_SCHEDULED")

    def update_crawler_schedule(self, request: dict[str, Any]) -> dict[str, Any]:
        """Another schedule."""
        if request.get("Schedule"):
            timing.check(request["Schedule"])
        with self._cloud.lock:
            self._find(request["CrawlerName"]).update(_scheduled(request.get("Schedule")))
        return {}

    def beat(self, now: datetime) -> None:
        """Start what is scheduled and due."""
        with self._cloud.lock:
            due = [
                name
                for name, each in self._crawlers.items()
                if timing.due(self._cloud, f"crawler {name}", _expression(each), now) and each["State"] == "READY"
            ]
        for name in due:
            self.start_crawler({"Name": name})

    def resume(self) -> None:
        """After a restart: crawls that were under way have failed."""
        with self._cloud.lock:
            for each in self._crawlers.values():
                if each["State"] != "READY":
                    each["Crawls"][-1] |= {"State": "FAILED", "ErrorMessage": ENDED_MEANWHILE}
                    each["Crawls"][-1] |= {"EndTime": self._cloud.now()}
                    each["State"] = "READY"

    def _run(self, crawler: Record, crawl: Crawl) -> None:
        state, error = crawl.run()
        with self._cloud.lock:
            ended = {"State": state, "EndTime": self._cloud.now(), "Summary": crawl.summary}
            crawl.record |= ended | ({"ErrorMessage": error} if error else {})
            crawler["State"] = "READY"
        told = {"COMPLETED": "SUCCEEDED", "STOPPED": "CANCELLED"}.get(state, state)
        triggers.crawl_ended(self._cloud, crawler["Name"], told)

    def _told(self, crawler: Mapping[str, Any]) -> Record:
        """In the shape of GetCrawler, with the last crawl that has ended."""
        crawler = {**crawler, "Role": crawler["Role"].partition(":role/")[2] or crawler["Role"]}  # told without the ARN
        ended = [each for each in crawler["Crawls"] if "EndTime" in each]
        if not ended:
            return crawler
        status = {"COMPLETED": "SUCCEEDED", "STOPPED": "CANCELLED"}
        last = ended[-1] | {"Status": status.get(ended[-1]["State"], "FAILED")}
        return {**crawler, "LastCrawl": last}

    def _set_schedule(self, name: str, wanted: str, then: str) -> dict[str, Any]:
        with self._cloud.lock:
            found = self._find(name)
            state = found.get("Schedule", {}).get("State")
            if state is None:
                raise AwsError("NoScheduleException", f"Crawler {name} has no schedule")  # wording not verified
            if state != wanted:
                code = "SchedulerRunningException" if then == "SCHEDULED" else "SchedulerNotRunningException"
                raise AwsError(code, f"The schedule of crawler {name} is {state}")  # wording not verified
            found["Schedule"]["State"] = then
        return {}

    def _check(self, name: str, given: Mapping[str, Any]) -> None:
        """Developer guide, "Crawler prerequisites"; text as AWS's providers match it. Names may have a path."""
        source = self._cloud.arn(f"crawler/{name}", "glue")
        if not lets_in(self._cloud, given["Role"].rpartition("/")[2], SERVICE, source):
            raise invalid(UNASSUMABLE)
        targets = given.get("Targets") or {}
        if not any(targets.get(kind) for kind in TARGETS):
            raise invalid("At least one target is required.")  # wording not verified
        for each in targets.get("S3Targets", ()):
            if not each.get("Path"):
                raise invalid("The Path of an S3 target is required.")  # wording not verified
        if given.get("Schedule"):
            timing.check(given["Schedule"])

    def _find(self, name: str) -> Record:
        if name not in self._crawlers:
            raise not_found(f"Crawler entry with name {name} does not exist")  # the text that AWS's providers match
        found: Record = self._crawlers[name]
        return found

    def _refuse_running(self, crawler: Mapping[str, Any]) -> None:
        """API reference: CrawlerRunningException; the wording is not verified."""
        if crawler["State"] != "READY":
            raise AwsError("CrawlerRunningException", f"Crawler with name {crawler['Name']} is running")

    def _arn(self, name: str) -> str:
        return self._cloud.arn(f"crawler/{name}", "glue")


def _defaults() -> Record:
    return {
        "SchemaChangePolicy": dict(POLICY),
        "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_EVERYTHING"},
        "LineageConfiguration": {"CrawlerLineageSettings": "DISABLE"},
        "Classifiers": [],
    }


def _scheduled(expression: str | None) -> Record:
    return {"Schedule": {"ScheduleExpression": expression, "State": "SCHEDULED"}} if expression else {"Schedule": {}}


def _expression(crawler: Mapping[str, Any]) -> str | None:
    schedule = crawler.get("Schedule") or {}
    return schedule.get("ScheduleExpression") if schedule.get("State") == "SCHEDULED" else None


def _stopping(cloud: Cloud) -> dict[str, threading.Event]:
    return _STOPPING.setdefault(cloud, {})
