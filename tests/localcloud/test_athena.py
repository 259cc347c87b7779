"""Athena through plain boto3: tables of the Glue catalog, queries, results, and what goes wrong."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError
from tests.localcloud.hosted import until

SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


class Lake:
    """A bucket, a database and a work group of one test."""

    def __init__(self, cloud: Any) -> None:
        mark = uuid.uuid4().hex[:8]
        self.bucket, self.database, self.group = f"lake-{mark}", f"lake_{mark}", f"group-{mark}"
        self.s3, self.glue, self.athena = cloud.client("s3"), cloud.client("glue"), cloud.client("athena")
        self.s3.create_bucket(Bucket=self.bucket)
        self.glue.create_database(DatabaseInput={"Name": self.database})
        self.output = f"s3://{self.bucket}/results"
        configuration = {"ResultConfiguration": {"OutputLocation": self.output}, "EnforceWorkGroupConfiguration": True}
        self.athena.create_work_group(Name=self.group, Configuration=configuration)

    def table(self, name: str, rows: dict[str, list[dict[str, Any]]], columns: dict[str, str], *keys: str) -> None:
        """A Parquet table; `rows` by the folder below its location."""
        for folder, part in rows.items():
            file = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(part), file)
            self.s3.put_object(Bucket=self.bucket, Key=f"{name}/{folder}part.parquet", Body=file.getvalue())
        storage = {
            "Columns": [{"Name": key, "Type": kind} for key, kind in columns.items()],
            "Location": f"s3://{self.bucket}/{name}",
            "SerdeInfo": {"SerializationLibrary": SERDE},
        }
        partitions = [{"Name": key, "Type": "string"} for key in keys]
        table = {"Name": name, "StorageDescriptor": storage, "PartitionKeys": partitions}
        self.glue.create_table(DatabaseName=self.database, TableInput=table)

    def run(self, query: str, **more: Any) -> dict[str, Any]:
        """The query's execution, once it has ended."""
        asked = {"WorkGroup": self.group, "QueryExecutionContext": {"Database": self.database}, **more}
        id = self.athena.start_query_execution(QueryString=query, **asked)["QueryExecutionId"]
        return until(
            lambda: self.athena.get_query_execution(QueryExecutionId=id)["QueryExecution"],
            lambda found: found["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"),
        )

    def rows(self, query: str, **more: Any) -> list[list[str | None]]:
        """What a SELECT answers, with the header."""
        execution = self.run(query, **more)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
        result = self.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]
        return [[each.get("VarCharValue") for each in row["Data"]] for row in result["Rows"]]


@pytest.fixture(scope="module")
def lake(cloud: Any) -> Lake:
    made = Lake(cloud)
    people = [
        {"id": "a", "age": 1, "at": "2026-01-01T00:00:00Z"},
        {"id": "b", "age": None, "at": "2026-01-02T00:00:00Z"},
    ]
    more = [{"id": "c", "age": 3, "at": "2026-01-02T00:00:00.500Z", "plan": "x"}]
    columns = {"id": "string", "age": "bigint", "at": "string", "plan": "string"}
    made.table("people", {"year=2026/month=01/": people, "year=2026/month=02/": more}, columns, "year", "month")
    made.s3.put_object(Bucket=made.bucket, Key="people/_SUCCESS", Body=b"not Parquet")
    return made


def test_a_table_is_its_files_with_the_columns_of_the_catalog(lake: Lake) -> None:
    assert lake.rows("SELECT * FROM people ORDER BY id") == [
        ["id", "age", "at", "plan", "year", "month"],
        ["a", "1", "2026-01-01T00:00:00Z", None, "2026", "01"],
        ["b", None, "2026-01-02T00:00:00Z", None, "2026", "01"],
        ["c", "3", "2026-01-02T00:00:00.500Z", "x", "2026", "02"],
    ]


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ('SELECT count(*) FROM "{database}"."PEOPLE"', "3"),
        ("SELECT count(*) FROM people WHERE month = '02'", "1"),
        ("SELECT max(from_iso8601_timestamp(at)) FROM people", "2026-01-02 00:00:00.500 UTC"),
        ("WITH people AS (SELECT 5 AS n) SELECT n FROM people", "5"),
        ("SELECT element_at(array_agg(id ORDER BY id), 2) FROM people", "b"),
        ("SELECT CAST(1.5 AS double)", "1.5"),
        ("SELECT true", "true"),
        ("SELECT date_diff('day', date '2026-01-01', date '2026-01-31')", "30"),
        ("SELECT 'it''s, \"quoted\"'", 'it\'s, "quoted"'),
        ("SELECT 1 WHERE ? = 'x'", "1"),
    ],
)
def test_athenas_sql(lake: Lake, query: str, answer: str) -> None:
    more = {"ExecutionParameters": ["x"]} if "?" in query else {}
    assert lake.rows(query.format(database=lake.database), **more)[1] == [answer]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT * FROM nobody", "TABLE_NOT_FOUND: Table 'awsdatacatalog.{database}.nobody' does not exist"),
        ("SELECT nothing FROM people", "COLUMN_NOT_FOUND: "),
        ("SELEC 1", ""),
        ("SELECT 1; SELECT 2", "SYNTAX_ERROR: Only one sql statement is allowed."),
        ("SELECT CAST('x' AS bigint)", "INVALID_CAST_ARGUMENT: "),
        ("MSCK REPAIR TABLE people", "NOT_SUPPORTED: the local cloud's Athena has no MSCK"),
    ],
)
def test_a_query_that_fails_says_why(lake: Lake, query: str, reason: str) -> None:
    status = lake.run(query)["Status"]
    assert status["State"] == "FAILED"
    assert status["StateChangeReason"].startswith(reason.format(database=lake.database))
    assert status["AthenaError"]["Retryable"] is False


def test_the_result_is_where_the_work_group_says(lake: Lake) -> None:
    execution = lake.run("SELECT id, age FROM people ORDER BY id", ResultConfiguration={"OutputLocation": "s3://no/"})
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"{lake.output}/{execution['QueryExecutionId']}.csv"
    body = lake.s3.get_object(Bucket=lake.bucket, Key=location.split("/", 3)[3])["Body"].read().decode()
    assert body == '"id","age"\n"a","1"\n"b",\n"c","3"\n'
    assert execution["Statistics"]["DataScannedInBytes"] > 0


def test_types_and_pages(lake: Lake) -> None:
    execution = lake.run("SELECT id, age, 0.5e0 AS half, true AS yes FROM people ORDER BY id")
    ask = {"QueryExecutionId": execution["QueryExecutionId"]}
    first = lake.athena.get_query_results(**ask, MaxResults=2)
    assert [each["Type"] for each in first["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]] == [
        "varchar", "bigint", "double", "boolean",
    ]  # fmt: skip
    rest = lake.athena.get_query_results(**ask, NextToken=first["NextToken"])
    assert (len(first["ResultSet"]["Rows"]), len(rest["ResultSet"]["Rows"])) == (2, 2)
    assert "NextToken" not in rest


def test_a_table_of_csv_made_by_a_statement(lake: Lake) -> None:
    lake.s3.put_object(Bucket=lake.bucket, Key="labels/1.csv", Body=b'name,said\nx,"a, b"\ny,c\n')
    create = (
        "CREATE EXTERNAL TABLE labels (name string, said string) ROW FORMAT SERDE "
        "'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('separatorChar' = ',', 'quoteChar' = '\"') "
        f"LOCATION 's3://{lake.bucket}/labels/' TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    assert lake.run(create)["Status"]["State"] == "SUCCEEDED"
    assert lake.rows("SELECT said FROM labels ORDER BY name") == [["said"], ["a, b"], ["c"]]
    assert "already exists" in lake.run(create)["Status"]["StateChangeReason"]
    assert lake.run("DROP TABLE labels")["Status"]["State"] == "SUCCEEDED"
    assert lake.run("DROP TABLE IF EXISTS labels")["Status"]["State"] == "SUCCEEDED"
    assert "TABLE_NOT_FOUND" in lake.run("SELECT * FROM labels")["Status"]["StateChangeReason"]


def test_a_table_without_files_is_empty(lake: Lake) -> None:
    lake.table("empty", {}, {"id": "string"}, "year")
    assert lake.rows("SELECT * FROM empty") == [["id", "year"]]


def test_a_query_is_cancelled(lake: Lake) -> None:
    many = "unnest(sequence(1, 2000000))"
    slow = f"SELECT count(*) FROM {many} a(x) CROSS JOIN {many} b(y) WHERE x * y = 7"
    id = lake.athena.start_query_execution(QueryString=slow, WorkGroup=lake.group)["QueryExecutionId"]
    with pytest.raises(ClientError, match="Query has not yet finished"):
        lake.athena.get_query_results(QueryExecutionId=id)
    lake.athena.stop_query_execution(QueryExecutionId=id)
    status = lake.athena.get_query_execution(QueryExecutionId=id)["QueryExecution"]["Status"]
    assert status["State"] == "CANCELLED"
    with pytest.raises(ClientError, match="Final query state: CANCELLED"):
        lake.athena.get_query_results(QueryExecutionId=id)


def test_the_same_token_is_the_same_query(lake: Lake) -> None:
    asked = {"WorkGroup": lake.group, "ClientRequestToken": uuid.uuid4().hex}
    first = lake.athena.start_query_execution(QueryString="SELECT 1", **asked)
    assert (
        lake.athena.start_query_execution(QueryString="SELECT 1", **asked)["QueryExecutionId"]
        == first["QueryExecutionId"]
    )
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        lake.athena.start_query_execution(QueryString="SELECT 2", **asked)
    assert lake.athena.list_query_executions(WorkGroup=lake.group)["QueryExecutionIds"][0] == first["QueryExecutionId"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [({"WorkGroup": "nowhere"}, "WorkGroup nowhere is not found"), ({}, "No output location provided")],
)
def test_a_query_that_can_not_start(lake: Lake, asked: dict[str, str], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        lake.athena.start_query_execution(QueryString="SELECT 1", **asked)
