"""What a crawl found, written to the Glue catalog: tables and partitions made, changed, deprecated or deleted.

The members of tables are those that crawlers write (developer guide, "Parameters set on Data Catalog tables by
crawler", and tables that others have published).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlplat.localcloud.glue.folders import File, Found

TEXT_IN = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
PARQUET_IN = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
PARQUET_OUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
TEXT_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"
PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
BY = "UPDATED_BY_CRAWLER"
AT_ONCE = 100
"""Partitions of one BatchCreatePartition."""

Record = dict[str, Any]


class Writer:
    """Writes for one crawl; `made` counts tables."""

    def __init__(self, glue: Any, crawler: Mapping[str, Any], now: datetime, made: dict[str, int]) -> None:
        self._glue, self._crawler, self._now, self._made = glue, crawler, now, made
        self._policy = crawler["SchemaChangePolicy"]

    def write(self, database: str, found: Sequence[Found], targets: Sequence[str]) -> Iterator[str]:
        """Write the tables; lines for the log."""
        self._make(database)
        names = set()
        for each in found:
            name = self._name(database, each)
            names.add(name)
            table = table_input(name, each, self._crawler["Name"])
            yield from self._write(database, table, each)
        yield from self._go_without(database, names, targets)

    def _make(self, database: str) -> None:
        try:
            self._glue.get_database(Name=database)
        except self._glue.exceptions.EntityNotFoundException:
            self._glue.create_database(DatabaseInput={"Name": database})

    def _name(self, database: str, found: Found) -> str:
        """With the crawler's prefix; one that another location has gets a digest of its own."""
        name = f"{self._crawler.get('TablePrefix') or ''}{found.name}".lower()
        known = self._table(database, name)
        if known is None or _same_place(known["StorageDescriptor"].get("Location", ""), found.location):
            return name
        return f"{name}_{hashlib.md5(found.location.encode(), usedforsecurity=False).hexdigest()}"

    def _table(self, database: str, name: str) -> Record | None:
        try:
            table: Record = self._glue.get_table(DatabaseName=database, Name=name)["Table"]
        except self._glue.exceptions.EntityNotFoundException:
            return None
        return table

    def _write(self, database: str, table: Record, found: Found) -> Iterator[str]:
        name = table["Name"]
        known = self._table(database, name)
        if known is None:
            self._glue.create_table(DatabaseName=database, TableInput=table)
            self._made["Created"] += 1
            yield f"Created table {name} in database {database}"
        elif _schema(known) != _schema(table):
            if self._policy.get("UpdateBehavior") == "LOG":
                yield f"Table {name} in database {database} has changed; the crawler only logs it"
                return
            self._update(database, table)
            yield f"Updated table {name} in database {database}"
        elif known.get("Parameters") != table["Parameters"]:
            self._update(database, table)
        yield from self._write_partitions(database, table, found)

    def _update(self, database: str, table: Record) -> None:
        self._glue.update_table(DatabaseName=database, TableInput=table)
        self._made["Updated"] += 1

    def _write_partitions(self, database: str, table: Record, found: Found) -> Iterator[str]:
        if not found.levels:
            return
        about = {"DatabaseName": database, "TableName": table["Name"]}
        pages = self._glue.get_paginator("get_partitions").paginate(**about)
        known = {tuple(each["Values"]) for page in pages for each in page["Partitions"]}
        wanted = {tuple(found.values(path)): (path, files) for path, files in found.partitions().items()}
        new = [_partition(table, found, *wanted[values]) for values in wanted if values not in known]
        for start in range(0, len(new), AT_ONCE):
            self._glue.batch_create_partition(**about, PartitionInputList=new[start : start + AT_ONCE])
        if new:
            yield f"Created partitions with values {[each['Values'] for each in new[:20]]} for table {table['Name']}"
        gone = [values for values in known if values not in wanted]
        if gone and self._policy.get("DeleteBehavior") != "LOG":
            for values in gone:
                self._glue.delete_partition(**about, PartitionValues=list(values))
            yield f"Deleted {len(gone)} partitions of table {table['Name']}"

    def _go_without(self, database: str, names: set[str], targets: Sequence[str]) -> Iterator[str]:
        """Tables that the crawler made before, and whose files are gone."""
        behaviour = self._policy.get("DeleteBehavior", "DEPRECATE_IN_DATABASE")
        pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=database)
        for table in [each for page in pages for each in page["TableList"]]:
            parameters, name = table.get("Parameters", {}), table["Name"]
            place = table.get("StorageDescriptor", {}).get("Location", "")
            mine = parameters.get(BY) == self._crawler["Name"] and any(place.startswith(each) for each in targets)
            if name in names or not mine or behaviour == "LOG":
                continue
            if behaviour == "DELETE_FROM_DATABASE":
                self._glue.delete_table(DatabaseName=database, Name=name)
                self._made["Deleted"] += 1
                yield f"Deleted table {name} in database {database}"
            elif "DEPRECATED_BY_CRAWLER" not in parameters:
                stamp = {"DEPRECATED_BY_CRAWLER": str(int(self._now.timestamp() * 1000))}
                self._update(database, _as_input(table) | {"Parameters": parameters | stamp})
                yield f"Deprecated table {name} in database {database}"


def table_input(name: str, found: Found, crawler: str) -> Record:
    """A table as a crawler writes it."""
    content = found.content
    size = sum(each.size for each in found.files)
    average = max(1, content.read // content.records) if content.records else size
    records = content.records if content.kind == "parquet" else max(1, size // average)
    parameters = {
        BY: crawler, "CrawlerSchemaDeserializerVersion": "1.0", "CrawlerSchemaSerializerVersion": "1.0",
        "averageRecordSize": str(average), "classification": content.kind, "compressionType": content.compression,
        "objectCount": str(len(found.files)), "recordCount": str(records), "sizeKey": str(size), "typeOfData": "file",
    }  # fmt: skip
    if content.kind == "csv":
        parameters |= {"columnsOrdered": "true", "areColumnsQuoted": "false", "delimiter": content.delimiter}
        parameters |= {"skip.header.line.count": "1"} if content.header else {}
    keys = found.keys
    if keys:
        parameters["partition_filtering.enabled"] = "true"
    return {
        "Name": name,
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": parameters,
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys],
        "StorageDescriptor": _storage(found, parameters),
    }


def _storage(found: Found, parameters: Mapping[str, str]) -> Record:
    content = found.content
    parquet = content.kind == "parquet"
    serde, settings = {
        "csv": (TEXT_SERDE, {"field.delim": content.delimiter}),
        "json": (JSON_SERDE, {"paths": ",".join(content.columns)}),
        "parquet": (PARQUET_SERDE, {"serialization.format": "1"}),
    }.get(content.kind, ("", {}))
    keys = set(found.keys)
    columns = [{"Name": name, "Type": kind} for name, kind in content.columns.items() if name not in keys]
    return {
        "Columns": columns,
        "Location": found.location,
        "InputFormat": PARQUET_IN if parquet else TEXT_IN,
        "OutputFormat": PARQUET_OUT if parquet else TEXT_OUT,
        "Compressed": content.compression != "none" and not parquet,
        "NumberOfBuckets": -1,
        "SerdeInfo": {"SerializationLibrary": serde, "Parameters": settings} if serde else {"Parameters": {}},
        "BucketColumns": [],
        "SortColumns": [],
        "Parameters": dict(parameters),
        "StoredAsSubDirectories": False,
    }


def _partition(table: Mapping[str, Any], found: Found, path: Sequence[str], files: Sequence[File]) -> Record:
    location = f"{found.location.rstrip('/')}/{'/'.join(path)}/"
    about = {"objectCount": str(len(files)), "sizeKey": str(sum(each.size for each in files))}
    storage = {**table["StorageDescriptor"], "Location": location}
    parameters = {**table["Parameters"], **about}
    return {"Values": found.values(path), "StorageDescriptor": storage | {"Parameters": parameters}}


def _schema(table: Mapping[str, Any]) -> list[Any]:
    """What a change of makes another version."""
    storage = table["StorageDescriptor"]
    columns = [(each["Name"], each["Type"]) for each in storage["Columns"]]
    keys = [each["Name"] for each in table.get("PartitionKeys", ())]
    return [columns, keys, storage.get("SerdeInfo", {}), storage.get("InputFormat"), storage.get("Location")]


def _same_place(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _as_input(table: Mapping[str, Any]) -> Record:
    names = ("Name", "Owner", "Retention", "TableType", "Parameters", "PartitionKeys", "StorageDescriptor")
    return {name: table[name] for name in names if name in table}
