"""Crawlers really read what is on S3: tables with columns, types and partitions, which Athena can query."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.conftest import RunningCloud
from tests.localcloud.jobs import Jobs, until
from tests.localcloud.test_glue_jobs import TRUST

from mlplat.localcloud import daemon

CUSTOMERS = "customer_id,Age,spent,active,signed_up\nc1,31,10.5,true,2024-01-01\nc2,42,3,false,2024-02-01\n"


class Crawls:
    """A crawler of its own, its database, and a folder on S3."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud, self.jobs, self.glue = cloud, Jobs(cloud), cloud.client("glue")
        self.name = self.jobs.name("crawler")
        self.database = self.name.replace("-", "_")
        self.role = self.jobs.make_role(TRUST)

    def path(self, folder: str = "raw/") -> str:
        return f"s3://{self.jobs.bucket}/{folder}"

    def create(self, *paths: str, **members: Any) -> None:
        targets = {"S3Targets": [{"Path": path} for path in paths or (self.path(),)]}
        about = {"Name": self.name, "Role": self.role, "DatabaseName": self.database, "Targets": targets}
        self.glue.create_crawler(**about | members)

    def crawler(self) -> dict[str, Any]:
        return dict(self.glue.get_crawler(Name=self.name)["Crawler"])

    def crawl(self) -> dict[str, Any]:
        """Run it to its end; LastCrawl."""
        self.glue.start_crawler(Name=self.name)
        return dict(until(self.crawler, lambda it: it["State"] == "READY")["LastCrawl"])

    def tables(self) -> dict[str, dict[str, Any]]:
        return {each["Name"]: each for each in self.glue.get_tables(DatabaseName=self.database)["TableList"]}

    def columns(self, table: str) -> dict[str, str]:
        return {each["Name"]: each["Type"] for each in self.tables()[table]["StorageDescriptor"]["Columns"]}

    def query(self, sql: str) -> list[list[str]]:
        athena = self.cloud.client("athena")
        id = athena.start_query_execution(
            QueryString=sql, QueryExecutionContext={"Database": self.database},
            ResultConfiguration={"OutputLocation": self.path("results/")},
        )["QueryExecutionId"]  # fmt: skip
        ended = until(
            lambda: athena.get_query_execution(QueryExecutionId=id)["QueryExecution"]["Status"],
            lambda status: status["State"] in ("SUCCEEDED", "FAILED"),
        )
        assert ended["State"] == "SUCCEEDED", ended
        rows = athena.get_query_results(QueryExecutionId=id)["ResultSet"]["Rows"]
        return [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in rows[1:]]


@pytest.fixture
def crawls(cloud: RunningCloud) -> Crawls:
    """Everything new for each test."""
    return Crawls(cloud)


def parquet(**columns: list[Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet as writer

    sink = io.BytesIO()
    writer.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


def test_a_folder_of_folders_becomes_tables(crawls: Crawls) -> None:
    crawls.jobs.put("raw/customers/1.csv", CUSTOMERS)
    crawls.jobs.put("raw/customers/_SUCCESS", "not read")
    crawls.jobs.put("raw/products/p.jsonl", '{"Id": 1, "tags": ["a"], "price": 2.5}\n{"Id": 3000000000, "price": 4}\n')
    crawls.jobs.put("raw/orders/o.parquet", parquet(order_id=[1, 2], amount=[0.5, 1.5], note=["x", None]))
    crawls.create(TablePrefix="raw_", Tags={"team": "churn"})
    last = crawls.crawl()
    assert (last["Status"], last["LogGroup"]) == ("SUCCEEDED", "/aws-glue/crawlers")
    assert sorted(crawls.tables()) == ["raw_customers", "raw_orders", "raw_products"]
    assert crawls.columns("raw_customers") == {
        "customer_id": "string", "age": "bigint", "spent": "double", "active": "boolean", "signed_up": "string",
    }  # fmt: skip
    assert crawls.columns("raw_products") == {"id": "bigint", "tags": "array<string>", "price": "double"}
    assert crawls.columns("raw_orders") == {"order_id": "bigint", "amount": "double", "note": "string"}
    table = crawls.tables()["raw_customers"]
    assert table["TableType"] == "EXTERNAL_TABLE"
    assert table["StorageDescriptor"]["Location"] == crawls.path("raw/customers/")
    assert table["StorageDescriptor"]["SerdeInfo"] == {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        "Parameters": {"field.delim": ","},
    }
    told = {"classification": "csv", "skip.header.line.count": "1", "delimiter": ",", "objectCount": "1"}
    assert told.items() <= table["Parameters"].items()
    assert table["Parameters"]["UPDATED_BY_CRAWLER"] == crawls.name
    rows = crawls.query(
        "SELECT customer_id, age, active, (SELECT sum(amount) FROM raw_orders), (SELECT max(id) FROM raw_products) "
        "FROM raw_customers WHERE spent > 5"
    )
    assert rows == [["c1", "31", "true", "2.0", "3000000000"]]
    log = crawls.cloud.client("logs").get_log_events(
        logGroupName="/aws-glue/crawlers", logStreamName=crawls.name, startFromHead=True
    )["events"]
    assert f"[{last['MessagePrefix']}] INFO : Created table raw_orders in database {crawls.database}" in [
        each["message"] for each in log
    ]
    assert crawls.crawl()["Status"] == "SUCCEEDED"  # again: nothing to do
    assert {name: each["VersionId"] for name, each in crawls.tables().items()} == dict.fromkeys(crawls.tables(), "1")


def test_folders_of_like_files_are_partitions(crawls: Crawls) -> None:
    for month in ("01", "02"):
        crawls.jobs.put(f"sales/year=2024/month={month}/data.csv", f"id,amount\n1,{month}.5\n2,7\n")
    crawls.create(crawls.path("sales/"))
    crawls.crawl()
    table = crawls.tables()["sales"]
    assert [each["Name"] for each in table["PartitionKeys"]] == ["year", "month"]
    partitions = crawls.glue.get_partitions(DatabaseName=crawls.database, TableName="sales")["Partitions"]
    assert sorted(each["Values"] for each in partitions) == [["2024", "01"], ["2024", "02"]]
    assert partitions[0]["StorageDescriptor"]["Location"].endswith("sales/year=2024/month=01/")
    assert crawls.query("SELECT month, sum(amount) FROM sales GROUP BY month ORDER BY month") == [
        ["01", "8.5"],
        ["02", "9.5"],
    ]
    crawls.jobs.put("sales/year=2024/month=03/data.csv", "id,amount\n1,1\n2,2.5\n")
    crawls.jobs.s3.delete_object(Bucket=crawls.jobs.bucket, Key="sales/year=2024/month=01/data.csv")
    crawls.crawl()
    partitions = crawls.glue.get_partitions(DatabaseName=crawls.database, TableName="sales")["Partitions"]
    assert sorted(each["Values"][1] for each in partitions) == ["02", "03"]


def test_other_folders_are_numbered_partitions(crawls: Crawls) -> None:
    for day in ("monday", "friday"):
        crawls.jobs.put(f"days/{day}/data.json", json.dumps({"n": 1, "at": {"x": 1}}) + "\n")
    crawls.create(crawls.path("days/"))
    crawls.crawl()
    assert [each["Name"] for each in crawls.tables()["days"]["PartitionKeys"]] == ["partition_0"]
    assert crawls.columns("days") == {"n": "int", "at": "struct<x:int>"}
    found = crawls.query("SELECT partition_0, sum(n), max(at.x) FROM days GROUP BY partition_0 ORDER BY partition_0")
    assert found == [["friday", "1", "1"], ["monday", "1", "1"]]


def test_a_single_file_a_level_and_exclusions(crawls: Crawls) -> None:
    crawls.jobs.put("lake/a/one.csv.gz", gzip.compress(CUSTOMERS.encode()))
    crawls.jobs.put("lake/b/two.csv", "1,2\n3,4\n")
    crawls.jobs.put("lake/b/left.tmp", "x")
    target = {"Path": crawls.path("lake/"), "Exclusions": ["**.tmp"]}
    grouping = json.dumps({"Version": 1.0, "Grouping": {"TableLevelConfiguration": 3}})
    crawls.jobs.put("lakes/quoted/1.csv", 'name,n\n"a",1\nb,2\n')
    more = [{"Path": crawls.path("lake/b/two.csv")}, {"Path": crawls.path("lakes/")}]
    targets = {"S3Targets": [target, *more]}
    crawls.create(Targets=targets, Configuration=grouping)
    crawls.crawl()
    assert sorted(crawls.tables()) == ["a", "b", "quoted", "two_csv"]
    assert crawls.tables()["a"]["Parameters"]["compressionType"] == "gzip"
    assert crawls.columns("b") == {"col0": "bigint", "col1": "bigint"}
    rows = crawls.query("SELECT (SELECT count(*) FROM a), name FROM quoted ORDER BY n")
    assert rows == [["2", '"a"'], ["2", "b"]]  # to LazySimpleSerDe, quotes are part of the value


def test_changed_schemas_and_files_that_are_gone(crawls: Crawls) -> None:
    crawls.jobs.put("raw/kept/1.csv", "a,b\n1,x\n2,y\n")
    crawls.jobs.put("raw/gone/1.csv", "c,d\n1,x\n2,y\n")
    crawls.jobs.put("raw/other/1.csv", "f,g\n1,x\n2,y\n")
    crawls.create()
    crawls.crawl()
    crawls.jobs.put("raw/kept/1.csv", "a,b,e\n1,x,0.5\n2,y,1.5\n")
    crawls.jobs.s3.delete_object(Bucket=crawls.jobs.bucket, Key="raw/gone/1.csv")
    crawls.glue.update_crawler(Name=crawls.name, SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"})
    crawls.crawl()
    assert (crawls.columns("kept"), sorted(crawls.tables())) == (
        {"a": "bigint", "b": "string"},
        ["gone", "kept", "other"],
    )
    policy = {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"}
    crawls.glue.update_crawler(Name=crawls.name, SchemaChangePolicy=policy)
    crawls.crawl()
    assert crawls.columns("kept") == {"a": "bigint", "b": "string", "e": "double"}
    assert "DEPRECATED_BY_CRAWLER" in crawls.tables()["gone"]["Parameters"]
    policy["DeleteBehavior"] = "DELETE_FROM_DATABASE"
    crawls.glue.update_crawler(Name=crawls.name, SchemaChangePolicy=policy)
    crawls.crawl()
    assert sorted(crawls.tables()) == ["kept", "other"]


def test_a_crawl_that_fails_says_why(crawls: Crawls) -> None:
    crawls.jobs.put("raw/broken.parquet", b"PAR1 and nothing more")
    crawls.create()
    last = crawls.crawl()
    assert last["Status"] == "FAILED"
    assert "broken.parquet is not a Parquet file" in last["ErrorMessage"]
    (crawl,) = crawls.glue.list_crawls(CrawlerName=crawls.name)["Crawls"]
    assert crawl["State"] == "FAILED"


def test_a_schedule_starts_crawls(crawls: Crawls) -> None:
    crawls.jobs.put("raw/t/1.csv", "a,b\n1,x\n2,y\n")
    with pytest.raises(ClientError, match="Invalid schedule expression"):
        crawls.create(Schedule="rate(1 day)")
    crawls.create(Schedule="cron(0 3 * * ? *)")
    daemon.advance(crawls.cloud.address, 0)
    daemon.advance(crawls.cloud.address, 24 * 3600)
    last = until(crawls.crawler, lambda it: it["State"] == "READY" and "LastCrawl" in it)["LastCrawl"]
    assert last["Status"] == "SUCCEEDED"
    crawls.glue.stop_crawler_schedule(CrawlerName=crawls.name)
    assert crawls.crawler()["Schedule"]["State"] == "NOT_SCHEDULED"
    with pytest.raises(ClientError) as caught:
        crawls.glue.stop_crawler_schedule(CrawlerName=crawls.name)
    assert caught.value.response["Error"]["Code"] == "SchedulerNotRunningException"
    with pytest.raises(ClientError) as caught:
        crawls.glue.stop_crawler(Name=crawls.name)
    assert caught.value.response["Error"]["Code"] == "CrawlerNotRunningException"
    crawls.glue.delete_crawler(Name=crawls.name)
