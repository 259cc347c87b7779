"""The Glue table that a feature group's offline store is queried by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud

TYPES = {"Integral": "bigint", "Fractional": "double", "String": "string"}
ADDED = {"write_time": "timestamp", "api_invocation_time": "timestamp", "is_deleted": "boolean"}
PARTITIONS = ("year", "month", "day", "hour")
OWN_DATABASE = "sagemaker_featurestore"
"""The database that SageMaker makes itself when the request names none."""

PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}


def make_table(cloud: Cloud, group: Mapping[str, Any]) -> str | None:
    """Make the group's table; why it can't be made, or None. Wordings of the reasons are not verified."""
    offline = group.get("OfflineStoreConfig")
    if not offline or offline.get("DisableGlueTableCreation"):
        return None
    catalog, glue = offline["DataCatalogConfig"], cloud.aws("glue")
    if catalog["Database"] == OWN_DATABASE:
        _make_database(glue)
    try:
        glue.create_table(DatabaseName=catalog["Database"], TableInput=_table(group, offline, catalog["TableName"]))
    except glue.exceptions.AlreadyExistsException:
        if _is_at(glue, catalog, offline["S3StorageConfig"]["ResolvedOutputS3Uri"]):
            return None  # the same name twice in one second, which is too fast to happen on AWS
        return f"The Glue table {catalog['TableName']} already exists in the database {catalog['Database']}."
    except glue.exceptions.EntityNotFoundException:
        return f"The Glue database {catalog['Database']} does not exist."
    return None


def add_columns(cloud: Cloud, group: Mapping[str, Any]) -> None:
    """Features that were added get a column: the role's policy in AWS's guide has glue:UpdateTable for that."""
    catalog = (group.get("OfflineStoreConfig") or {}).get("DataCatalogConfig")
    if not catalog:
        return
    glue = cloud.aws("glue")
    table = _table(group, group["OfflineStoreConfig"], catalog["TableName"])
    try:
        glue.update_table(DatabaseName=catalog["Database"], TableInput=table)
    except glue.exceptions.EntityNotFoundException:
        return  # somebody has deleted it


def _is_at(glue: Any, catalog: Mapping[str, str], location: str) -> bool:
    table = glue.get_table(DatabaseName=catalog["Database"], Name=catalog["TableName"])["Table"]
    return bool(table["StorageDescriptor"].get("Location") == location)


def _make_database(glue: Any) -> None:
    try:
        glue.create_database(DatabaseInput={"Name": OWN_DATABASE})
    except glue.exceptions.AlreadyExistsException:
        return


def _table(group: Mapping[str, Any], offline: Mapping[str, Any], name: str) -> dict[str, Any]:
    columns = {each["FeatureName"].lower(): TYPES[each["FeatureType"]] for each in group["FeatureDefinitions"]} | ADDED
    iceberg = offline.get("TableFormat") == "Iceberg"
    return {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "parquet",
            **({"table_type": "ICEBERG"} if iceberg else {}),
        },
        "PartitionKeys": [] if iceberg else [{"Name": each, "Type": "string"} for each in PARTITIONS],
        "StorageDescriptor": {
            **PARQUET,
            "Location": offline["S3StorageConfig"]["ResolvedOutputS3Uri"],
            "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
        },
    }
