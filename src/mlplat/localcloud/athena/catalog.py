"""Tables of the Glue catalog as DuckDB sees them: their files on S3, brought here for the query, and their columns."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TYPES = {
    "string": "VARCHAR", "bigint": "BIGINT", "int": "INTEGER", "integer": "INTEGER", "smallint": "SMALLINT",
    "tinyint": "TINYINT", "double": "DOUBLE", "float": "FLOAT", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP",
    "date": "DATE", "binary": "BLOB",
}  # fmt: skip
"""Hive's types by DuckDB's names."""

OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"
TEXT = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
JSON = ("org.openx.data.jsonserde.JsonSerDe", "org.apache.hive.hcatalog.data.JsonSerDe")
PARQUET = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


class NotThere(Exception):
    """A table or database that Glue doesn't have, or one that can't be read; Athena's words."""


def attach(database: Any, statement: Any, default: str) -> int:
    """Give DuckDB a view for every table that the statement reads, under its own name; bytes scanned."""
    from sqlglot import exp

    own = {each.alias_or_name.lower() for each in statement.find_all(exp.CTE)}
    wanted: dict[tuple[str, str], None] = {}
    for table in statement.find_all(exp.Table):
        if not table.db and table.name.lower() in own:
            continue
        schema, name = (table.db or default).lower(), table.name.lower()
        table.set("catalog", None)
        table.set("db", exp.to_identifier(schema, quoted=True))
        table.set("this", exp.to_identifier(name, quoted=True))
        wanted[schema, name] = None
    return sum(_attach(database, schema, name, Path(f"table-{n}")) for n, (schema, name) in enumerate(wanted))


def create_table(statement: Any, default: str) -> None:
    """CREATE EXTERNAL TABLE, into the Glue catalog."""
    from sqlglot import exp

    glue, (schema, name) = _glue(), _named(statement.this.this, default)
    columns = [
        {"Name": each.name.lower(), "Type": each.args["kind"].sql("hive").lower()}
        for each in statement.this.expressions
        if isinstance(each, exp.ColumnDef)
    ]
    location = statement.find(exp.LocationProperty)
    if location is None:
        raise NotThere("FAILED: SemanticException [Error 10001]: a table needs a LOCATION")
    serde = statement.find(exp.RowFormatSerdeProperty)
    settings = statement.find(exp.SerdeProperties)
    storage = {
        "Columns": columns,
        "Location": location.name,
        "SerdeInfo": {
            "SerializationLibrary": serde.name if serde else TEXT,
            "Parameters": {each.name: each.args["value"].name for each in (settings.expressions if settings else ())},
        },
    }
    more = {each.name: each.args["value"].name for each in statement.args["properties"].expressions if _is_plain(each)}
    table = {"Name": name, "TableType": "EXTERNAL_TABLE", "Parameters": {"EXTERNAL": "TRUE", **more}}
    try:
        glue.create_table(DatabaseName=schema, TableInput={**table, "StorageDescriptor": storage})
    except glue.exceptions.AlreadyExistsException:
        if not statement.args.get("exists"):
            raise NotThere(
                f"FAILED: Execution Error: AlreadyExistsException(message:Table {name} already exists.)"
            ) from None
    except glue.exceptions.EntityNotFoundException:
        raise NotThere(f"FAILED: SemanticException [Error 10072]: Database does not exist: {schema}") from None


def drop_table(statement: Any, default: str) -> None:
    """DROP TABLE; the files stay."""
    glue, (schema, name) = _glue(), _named(statement.args["tables"][0], default)
    try:
        glue.delete_table(DatabaseName=schema, Name=name)
    except glue.exceptions.EntityNotFoundException:
        if not statement.args.get("exists"):
            raise NotThere(f"FAILED: SemanticException [Error 10001]: Table not found {name}") from None


def _is_plain(each: Any) -> bool:
    from sqlglot import exp

    return type(each) is exp.Property


def _named(table: Any, default: str) -> tuple[str, str]:
    return (table.db or default).lower(), table.name.lower()


def _glue() -> Any:
    import boto3

    return boto3.client("glue")


def _attach(database: Any, schema: str, name: str, folder: Path) -> int:
    """Make the view of one table; bytes of its files."""
    glue = _glue()
    try:
        table = glue.get_table(DatabaseName=schema, Name=name)["Table"]
    except glue.exceptions.EntityNotFoundException:
        raise NotThere(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{schema}.{name}' does not exist") from None
    storage = table["StorageDescriptor"]
    columns = {each["Name"]: _type(each["Type"]) for each in storage["Columns"]}
    partitions = {each["Name"]: _type(each["Type"]) for each in table.get("PartitionKeys", ())}
    files = _files(storage["Location"], folder)
    database.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    body = _scan(storage, columns, partitions, list(files), table.get("Parameters", {}), database)
    database.execute(f'CREATE VIEW "{schema}"."{name}" AS {body}')
    return sum(each.stat().st_size for each in files)


def _type(hive: str) -> str:
    hive = hive.lower().strip()
    if inner := re.fullmatch(r"(array|map|struct)<(.*)>", hive):
        return _nested(inner[1], _divided(inner[2]))
    if hive.startswith(("varchar", "char")):
        return "VARCHAR"
    if hive.startswith("decimal"):
        return hive.upper()
    if hive not in TYPES:
        raise NotThere(f"NOT_SUPPORTED: the local cloud's Athena has no type {hive}")
    return TYPES[hive]


def _nested(kind: str, inside: list[str]) -> str:
    if kind == "array":
        return f"{_type(inside[0])}[]"
    if kind == "map":
        return f"MAP({_type(inside[0])}, {_type(inside[1])})"
    members = [each.partition(":") for each in inside]
    listed = ", ".join(f'"{name.strip()}" {_type(inner)}' for name, _, inner in members)
    return f"STRUCT({listed})"


def _divided(text: str) -> list[str]:
    """At the commas that are not inside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _files(location: str, folder: Path) -> list[Path]:
    """Every object below the location, as files in the same layout. Hidden ones (`_`, `.`) are none of a table's."""
    import boto3

    s3 = boto3.client("s3")
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [each["Key"] for page in pages for each in page.get("Contents", ()) if each["Size"]]
    keys = [key for key in keys if not key.rpartition("/")[2].startswith(("_", "."))]

    def bring(key: str) -> Path:
        path = folder / key.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        return path

    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(bring, keys))


def _scan(
    storage: Mapping[str, Any],
    columns: Mapping[str, str],
    partitions: Mapping[str, str],
    files: Sequence[Path],
    properties: Mapping[str, str],
    database: Any,
) -> str:
    """The SELECT that makes the files the table: the catalog's columns, null where a file lacks one."""
    library = storage["SerdeInfo"].get("SerializationLibrary", TEXT)
    if not files:
        empty = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in {**columns, **partitions}.items())
        return f"SELECT {empty} WHERE false"
    lowered = {name.lower() for name in columns}
    if library == PARQUET:
        source, there = _parquet(files, database)
    elif library in (OPEN_CSV, TEXT):
        source, there = _csv(files, columns, storage["SerdeInfo"], properties), lowered
    elif library in JSON:
        source, there = _json(files, columns), lowered
    else:
        raise NotThere(f"NOT_SUPPORTED: the local cloud's Athena can't read {library}")
    taken = [
        f'CAST("{name}" AS {kind}) AS "{name}"' if name.lower() in there else f'CAST(NULL AS {kind}) AS "{name}"'
        for name, kind in columns.items()
    ]
    taken += [
        f"""CAST(regexp_extract(filename, '{_folder(n, key)}', 1) AS {kind}) AS "{key}\""""
        for n, (key, kind) in enumerate(partitions.items())
    ]
    return f"SELECT {', '.join(taken)} FROM {source}"  # noqa: S608


def _folder(number: int, key: str) -> str:
    """Where a file's path has the value of a partition key: `key=value`, or the folder of that number."""
    return f"/table-\\d+/(?:[^/]+/){{{number}}}([^/]+)/" if key == f"partition_{number}" else f"/{key}=([^/]*)/"


def _parquet(files: Sequence[Path], database: Any) -> tuple[str, set[str]]:
    source = f"read_parquet([{_listed(files)}], union_by_name = true, filename = true, hive_partitioning = false)"
    named = database.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()  # noqa: S608
    return source, {str(row[0]).lower() for row in named}


def _csv(
    files: Sequence[Path], columns: Mapping[str, str], serde: Mapping[str, Any], properties: Mapping[str, str]
) -> str:
    """Only OpenCSVSerde knows of quotes; for LazySimpleSerDe they are part of the value."""
    quote = "" if serde.get("SerializationLibrary", TEXT) == TEXT else '"'
    settings = serde.get("Parameters", {})
    shape = ", ".join(f"'{name}': 'VARCHAR'" for name in columns)
    given = {
        "delim": settings.get("separatorChar", settings.get("field.delim", ",")),
        "quote": settings.get("quoteChar", quote),
        "escape": settings.get("escapeChar", quote),
    }
    options = ", ".join(f"{key} = '{value[-1:]}'" for key, value in given.items())
    skip = int(properties.get("skip.header.line.count", 0))
    return (
        f"read_csv([{_listed(files)}], columns = {{{shape}}}, header = false, skip = {skip}, auto_detect = false, "
        f"filename = true, null_padding = true, {options})"
    )


def _json(files: Sequence[Path], columns: Mapping[str, str]) -> str:
    named = _names(files[0])
    shape = ", ".join(f"'{named.get(name, name)}': '{kind}'" for name, kind in columns.items())
    return f"read_json([{_listed(files)}], columns = {{{shape}}}, format = 'newline_delimited', filename = true)"


def _names(file: Path) -> dict[str, str]:
    """Names as the first lines of a file write them, by lower case: Hive's serde doesn't tell them apart."""
    opened = gzip.open if file.read_bytes()[:2] == b"\x1f\x8b" else open
    with opened(file, "rt", errors="replace") as lines:
        found = [json.loads(line) for line in itertools.islice(lines, 100) if line.lstrip().startswith("{")]
    return {name.lower(): name for each in found for name in each}


def _listed(files: Sequence[Path]) -> str:
    return ", ".join("'" + str(each.absolute()).replace("'", "''") + "'" for each in files)
