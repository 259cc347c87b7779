"""The offline store of a feature group: Parquet files in S3 with a Glue table, which outlive the group."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlplat.aws import Session
from mlplat.resources.s3 import delete_contents, in_bytes

Store = Mapping[str, Any]
"""The OfflineStoreConfig of a description; empty without an offline store."""


def request(offline: Mapping[str, str], group: str) -> dict[str, Any]:
    """The OfflineStoreConfig to create. The table's name is new each time: one that exists fails the creation.

    Athena wants lower case and `_`; AWS's own tables are called `<group>_<time>` too.
    """
    table = f"{group.replace('-', '_').lower()}_{time.time_ns() // 1_000_000}"
    return {
        "S3StorageConfig": {"S3Uri": offline["uri"], "KmsKeyId": offline["key"]},
        "DataCatalogConfig": {"Catalog": "AwsDataCatalog", "Database": offline["database"], "TableName": table},
        "TableFormat": offline["format"],
    }


def described(store: Store) -> dict[str, Any] | None:
    """The field `offline` of what is there."""
    if not store:
        return None
    storage, catalog = store["S3StorageConfig"], store.get("DataCatalogConfig", {})
    shape = store.get("TableFormat", "Glue")
    return {
        "uri": storage["S3Uri"],
        "key": storage.get("KmsKeyId"),
        "database": catalog.get("Database"),
        "format": "Glue" if shape == "Default" else shape,
    }


def outputs(store: Store) -> dict[str, str]:
    """`offline_uri`, its part that is a prefix of keys, `database` and `table`, as far as there are any.

    The prefix is the folder above `data`: Iceberg has its metadata beside that.
    """
    catalog, uri = store.get("DataCatalogConfig", {}), store.get("S3StorageConfig", {}).get("ResolvedOutputS3Uri")
    found = {
        "offline_uri": uri,
        "offline_prefix": uri and uri.removeprefix("s3://").partition("/")[2].removesuffix("/data"),
        "database": catalog.get("Database"),
        "table": catalog.get("TableName"),
    }
    return {name: value for name, value in found.items() if value}


def records(aws: Session, store: Store) -> str | None:
    """Where its records are and how big, from one page of their files; None when there is none."""
    if "offline_uri" not in outputs(store):
        return None
    (bucket, folder), client = _folder(store), aws.client("s3")
    found = aws.find(lambda: client.list_objects_v2(Bucket=bucket, Prefix=f"{folder}data/")) or {}
    files = found.get("Contents", ())
    if not files:
        return None
    count = f"{'more than ' if found.get('IsTruncated') else ''}{len(files):,} file{'s' if len(files) > 1 else ''}"
    return f"records in s3://{bucket}/{folder}data/ ({count}, {in_bytes(sum(each['Size'] for each in files))})"


def clear(aws: Session, store: Store) -> None:
    """Delete the group's own folder in all versions, SageMaker's metadata in it too, and the table."""
    there = outputs(store)
    with aws.gone_is_fine():
        if "offline_uri" in there:
            delete_contents(aws, *_folder(store))
    with aws.gone_is_fine():
        if "table" in there:
            aws.client("glue").delete_table(DatabaseName=there["database"], Name=there["table"])


def _folder(store: Store) -> tuple[str, str]:
    """The bucket and the group's own folder in it; its records are below `data/`."""
    bucket, path = outputs(store)["offline_uri"].removeprefix("s3://").split("/", 1)
    return bucket, path.rstrip("/").removesuffix("data")
