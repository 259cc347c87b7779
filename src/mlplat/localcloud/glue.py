"""Glue's crawlers: with a role that lets them in, left alone while they run, and ready again when they have run."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud import background
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, after, before
from mlplat.localcloud.trust import lets_in
from mlplat.localcloud.wire import Reply

SERVICE = "glue.amazonaws.com"
UNASSUMABLE = "Service is unable to assume provided role. Please verify role's TrustPolicy"


@before("glue", "CreateCrawler")
def its_role_lets_glue_in(asked: Asked) -> None:
    """Developer guide, "Crawler prerequisites"; text as AWS's providers match it. Names may have a path."""
    named = asked.request.get("Role")
    source = asked.cloud.arn(f"crawler/{asked.request['Name']}", "glue")
    if named and not lets_in(asked.cloud, named.rpartition("/")[2], SERVICE, source):
        raise AwsError("InvalidInputException", UNASSUMABLE)


@before("glue", "GetCrawler", "StartCrawler", "StopCrawler", "DeleteCrawler")
def a_crawler_that_is_there(asked: Asked) -> None:
    """The text that AWS's providers match."""
    if _crawler(asked) is None:
        raise AwsError("EntityNotFoundException", f"Crawler entry with name {asked.request['Name']} does not exist")


@before("glue", "DeleteCrawler")
def a_running_crawler_stays_as_it_is(asked: Asked) -> None:
    """API reference of DeleteCrawler: CrawlerRunningException; the wording is not verified."""
    if _crawler(asked).status != "READY":
        raise AwsError("CrawlerRunningException", f"Crawler with name {asked.request['Name']} is running")


@after("glue", "StartCrawler", "StopCrawler")
def it_gets_ready_again(asked: Asked, _reply: Reply) -> None:
    """READY, RUNNING, STOPPING, READY (API reference, Crawler). Nothing is crawled."""
    crawl = _crawler(asked).crawls[-1]
    end = "STOPPED" if asked.route.operation_name == "StopCrawler" else "COMPLETED"

    def settle() -> None:
        if crawl.status not in ("COMPLETED", "STOPPED"):
            crawl.status = end

    background.later(asked.backend(), settle)


def _crawler(asked: Asked) -> Any:
    return asked.backend().crawlers.get(asked.request["Name"])
