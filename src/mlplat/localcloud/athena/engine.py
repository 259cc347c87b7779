"""One query, in a process of its own: Athena's SQL over tables of the Glue catalog, by DuckDB.

Reads query.json and writes answer.json in its working folder; the result goes to S3 as Athena writes it. sqlglot
translates the dialect. SELECT, CREATE EXTERNAL TABLE and DROP TABLE are there; other statements fail and say so.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mlplat.localcloud.athena import catalog

NAMES = {
    "BIGINT": "bigint", "INTEGER": "integer", "SMALLINT": "smallint", "TINYINT": "tinyint", "HUGEINT": "bigint",
    "DOUBLE": "double", "FLOAT": "float", "BOOLEAN": "boolean", "VARCHAR": "varchar", "DATE": "date",
    "TIMESTAMP": "timestamp", "TIMESTAMP WITH TIME ZONE": "timestamp with time zone", "TIME": "time",
}  # fmt: skip
"""DuckDB's types by Athena's names."""


class Refused(Exception):
    """Why a query fails, as Athena's StateChangeReason has it."""


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Run the query; `columns` are None for statements that have no result."""
    import sqlglot
    from sqlglot import exp

    began = time.monotonic()
    try:
        statements = [each for each in sqlglot.parse(asked["query"], read="athena") if each is not None]
    except sqlglot.ParseError as error:
        first = error.errors[0] if error.errors else {}
        where = f"line {first.get('line', 1)}:{first.get('col', 1)}"
        raise Refused(f"SYNTAX_ERROR: {where}: {first.get('description', error)}") from error
    if len(statements) != 1:
        raise Refused("SYNTAX_ERROR: Only one sql statement is allowed.")
    statement = statements[0]
    if isinstance(statement, exp.Create) and statement.kind == "TABLE" and statement.expression is None:
        catalog.create_table(statement, asked["database"])
        columns = None
    elif isinstance(statement, exp.Drop) and statement.kind == "TABLE":
        catalog.drop_table(statement, asked["database"])
        columns = None
    elif isinstance(statement, exp.Query):
        return _select(statement, asked, began)
    else:
        word = asked["query"].split(None, 1)[0].upper()
        raise Refused(f"NOT_SUPPORTED: the local cloud's Athena has no {word}")
    return {"columns": columns, "statistics": {}}


def _select(statement: Any, asked: dict[str, Any], began: float) -> dict[str, Any]:
    import duckdb

    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    scanned = catalog.attach(database, statement, asked["database"])
    planned = time.monotonic()
    try:
        found = database.execute(statement.sql("duckdb"), asked["parameters"])
        columns = [_column(each[0], str(each[1])) for each in found.description or ()]
        rows = _text(columns, found)
    except duckdb.Error as error:
        raise Refused(_reason(error)) from error
    _put(asked["output"], rows)
    statistics = {
        "DataScannedInBytes": scanned,
        "QueryPlanningTimeInMillis": int((planned - began) * 1000),
    }
    return {"columns": columns, "statistics": statistics}


def _column(name: str, kind: str) -> dict[str, Any]:
    plain = kind.partition("(")[0]
    athena = "array" if kind.endswith("[]") else NAMES.get(plain, "decimal" if plain == "DECIMAL" else "varchar")
    sizes = {"bigint": 19, "integer": 10, "double": 17, "varchar": 2147483647}
    return {
        "CatalogName": "hive", "SchemaName": "", "TableName": "", "Name": name, "Label": name, "Type": athena,
        "Precision": sizes.get(athena, 0), "Scale": 0, "Nullable": "UNKNOWN",
        "CaseSensitive": athena == "varchar",
    }  # fmt: skip


def _text(columns: Sequence[dict[str, Any]], found: Any) -> bytes:
    """As Athena writes results: every value quoted, a null is nothing at all."""
    file = io.StringIO()
    file.write(_line([each["Name"] for each in columns]))
    while rows := found.fetchmany(10_000):
        file.writelines(_line([_shown(value) for value in row]) for row in rows)
    return file.getvalue().encode()


def _line(values: Iterable[str | None]) -> str:
    quoted = ("" if value is None else '"' + value.replace('"', '""') + '"' for value in values)
    return ",".join(quoted) + "\n"


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        zone = " UTC" if value.tzinfo else ""
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds") + zone
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(_shown(each) or "null") for each in value) + "]"
    if isinstance(value, float):
        return repr(value).replace("inf", "Infinity").replace("nan", "NaN")
    return str(value)


def _reason(error: Exception) -> str:
    """DuckDB's complaint under Athena's code; the words are DuckDB's."""
    text = str(error).splitlines()[0]
    kind, _, said = text.partition(": ")
    code = {
        "Catalog Error": "SYNTAX_ERROR",
        "Parser Error": "SYNTAX_ERROR",
        "Binder Error": "COLUMN_NOT_FOUND" if "column" in said.lower() else "SYNTAX_ERROR",
        "Conversion Error": "INVALID_CAST_ARGUMENT",
        "Out of Memory Error": "EXCEEDED_MEMORY_LIMIT",
    }.get(kind, "GENERIC_USER_ERROR")
    return f"{code}: {said or text}"


def _put(output: dict[str, Any], body: bytes) -> None:
    import boto3

    bucket, _, key = output["OutputLocation"].removeprefix("s3://").partition("/")
    encryption = output.get("EncryptionConfiguration") or {}
    ways: dict[str, dict[str, Any]] = {
        "SSE_S3": {"ServerSideEncryption": "AES256"},
        "SSE_KMS": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": encryption.get("KmsKey")},
    }
    more = ways.get(encryption.get("EncryptionOption", ""), {})
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/octet-stream", **more)


def main() -> None:
    """Answer the query of this folder."""
    csv.field_size_limit(sys.maxsize)
    asked = json.loads(Path("query.json").read_text())
    try:
        told = answer(asked)
    except (Refused, catalog.NotThere) as error:
        told = {"reason": str(error)}
    except Exception as error:
        told = {"reason": f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}"}
    Path("answer.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
