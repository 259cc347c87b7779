"""The tables of the raw files, as the crawler finds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mlplat.errors import ApiError, MlplatError, telling
from mlplat.templates.transformations import RAW
from mlplat.workflows.platform import Platform

CRAWLS_WITHIN = 24 * 3600.0


@dataclass(frozen=True)
class Table:
    """A table of the Data Catalog."""

    name: str
    classification: str
    columns: int
    location: str

    def to_json(self) -> dict[str, Any]:
        """As it is printed."""
        return asdict(self)


def crawl(platform: Platform) -> list[Table]:
    """Run the crawler, or join the run that goes on, and wait for its end; the tables of raw files that there are.

    Raises MlplatError with Glue's words when the crawl failed.
    """
    glue = platform.session.client("glue")
    name = str(platform.output("ml_feature_store.glue_crawler.raw", "name"))
    with telling(f"starting glue_crawler {name}", "mlplat plan --template ml_feature_store"):
        _start(glue, name)
    crawler = platform.session.wait(
        f"crawler {name}",
        lambda: glue.get_crawler(Name=name)["Crawler"],
        lambda found: found["State"] == "READY",
        within=CRAWLS_WITHIN,
    )
    last = crawler.get("LastCrawl", {})
    if last.get("Status") != "SUCCEEDED":
        raise MlplatError(
            f"crawling the raw bucket: {last.get('Status', 'unknown')}: {last.get('ErrorMessage', 'no reason given')}",
            hint=f"aws logs tail {last.get('LogGroup', '/aws-glue/crawlers')} --log-stream-names {name}",
        )
    return tables(platform, crawler["DatabaseName"])


def tables(platform: Platform, database: str) -> list[Table]:
    """The tables of raw files in a database."""
    found = platform.session.client("glue").pages(
        "get_tables", "TableList", DatabaseName=database, Expression=f"{RAW}*"
    )
    return [
        Table(
            each["Name"],
            each.get("Parameters", {}).get("classification", ""),
            len(each["StorageDescriptor"]["Columns"]),
            each["StorageDescriptor"]["Location"],
        )
        for each in found
    ]


def _start(glue: Any, name: str) -> None:
    try:
        glue.start_crawler(Name=name)
    except ApiError as error:
        if error.code != "CrawlerRunningException":
            raise
