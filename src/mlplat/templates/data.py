"""ml_data_infrastructure: the key, the buckets, the network, the catalog and the log groups that all else stands on.

Other templates take from here, by address and output: `kms_key.platform` (arn), `bucket.raw|processed|models|
experiments` (name, arn, uri), `subnet.private_N` (id), `security_group.workloads` (id), `glue_database.catalog` (name),
`log_group.inference_<endpoint>` (arn, name). Nothing refers to `log_group.training|processing`, which another namespace
of the account may manage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlplat.resources import Bucket, GlueDatabase, KmsKey, LogGroup
from mlplat.resources.base import Declared
from mlplat.templates.network import network
from mlplat.templates.permissions import DATA, KEY, document
from mlplat.templates.place import Place

if TYPE_CHECKING:
    from mlplat.settings import Settings
    from mlplat.templates.release import Release

JOB_LOGS = {"training": "/aws/sagemaker/TrainingJobs", "processing": "/aws/sagemaker/ProcessingJobs"}
"""SageMaker's log groups for jobs: one name for the whole account (developer guide, "Log groups and streams").

One namespace of an account manages them. They are declared like any other group, so what carries another namespace's
tags is refused, and what SageMaker made first is taken over.
"""


def ml_data_infrastructure(settings: Settings, place: Place, _releases: Mapping[str, Release]) -> list[Declared]:
    """Everything that holds data or carries traffic; what is released doesn't matter to it."""
    return [
        Declared(KEY.address, _key(settings, place)),
        *_buckets(settings, place),
        *network(settings, place),
        Declared(f"{DATA}.glue_database.catalog", _catalog(place)),
        *_log_groups(settings, place),
    ]


def _key(settings: Settings, place: Place) -> KmsKey:
    return KmsKey(
        name=place.name("platform", limit=249),
        description=f"Everything of the machine-learning platform {settings.namespace}",
        policy=_key_policy(place),
        rotation=settings.encryption.rotation,
        deletion_window_days=settings.encryption.deletion_window_days,
    )


def _key_policy(place: Place) -> dict[str, Any]:
    """The account decides by IAM who uses the key; of AWS's services only those that act without a role come in.

    Roles aren't named: a policy whose principal doesn't exist yet is refused. No kms:ViaService or
    kms:CallerAccount, with which CreateFeatureGroup's offline store fails. Nothing for EventBridge, whose calls carry
    no source conditions, so that any account's rules would come in. (KMS developer guide, "Default key policy";
    CloudWatch Logs user guide, "Encrypt log data"; CloudWatch user guide, "Amazon SNS and alarms".)
    """
    return document(
        {
            "Sid": "AccountDecidesByIam",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{place.partition}:iam::{place.account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "LogGroupsOfThisAccount",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{place.region}.amazonaws.com"},
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": place.arn("logs", "log-group:*")}},
        },
        {
            "Sid": "AlarmsOfThisAccount",
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": place.account}},
        },
    )


def _buckets(settings: Settings, place: Place) -> Iterator[Declared]:
    rules = {
        "raw": [_ageing(settings)],
        "processed": [],
        "models": [],  # never to GLACIER: an endpoint loads its model from here
        "experiments": [
            _expiry("failed-experiments", settings.storage.failed_experiments_days),
            _expiry("temp", settings.storage.temp_days),
        ],
    }
    for purpose, own in rules.items():
        name = place.global_name(purpose)
        bucket = Bucket(
            name=name,
            kms_key=KEY,
            policy=_bucket_policy(place.bucket_arn(name), force_tls=settings.storage.force_tls),
            lifecycle=[_housekeeping(settings), *own],
        )
        yield Declared(f"{DATA}.bucket.{purpose}", bucket)


def _bucket_policy(arn: str, *, force_tls: bool) -> dict[str, Any]:
    """No plain http, and no object encrypted by anything but KMS.

    The second needs both conditions: an upload that doesn't say how to encrypt is encrypted by the bucket's default,
    and StringNotEquals alone would refuse it. (S3 user guide, "Using server-side encryption with AWS KMS keys".)
    """
    encryption = "s3:x-amz-server-side-encryption"
    plain_http = {
        "Sid": "DenyPlainHttp",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    other_encryption = {
        "Sid": "DenyOtherEncryption",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"{arn}/*",
        "Condition": {"StringNotEquals": {encryption: "aws:kms"}, "Null": {encryption: "false"}},
    }
    return document(*([plain_http] if force_tls else []), other_encryption)


def _housekeeping(settings: Settings) -> dict[str, Any]:
    """What nobody sees and everybody pays: old versions and unfinished uploads."""
    return {
        "ID": "housekeeping",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": settings.storage.noncurrent_days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": settings.storage.abort_uploads_days},
    }


def _ageing(settings: Settings) -> dict[str, Any]:
    storage = settings.storage
    return {
        "ID": "ageing",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "Transitions": [
            {"Days": storage.raw_infrequent_days, "StorageClass": "STANDARD_IA"},
            {"Days": storage.raw_archive_days, "StorageClass": "GLACIER"},
        ],
        "Expiration": {"Days": storage.raw_expire_days},
    }


def _expiry(folder: str, days: int) -> dict[str, Any]:
    return {"ID": folder, "Status": "Enabled", "Filter": {"Prefix": f"{folder}/"}, "Expiration": {"Days": days}}


def catalog_name(place: Place) -> str:
    """What the database is called: Athena takes names with `_`, not `-`, unquoted."""
    return place.name("catalog", limit=255).replace("-", "_").lower()


def _catalog(place: Place) -> GlueDatabase:
    return GlueDatabase(
        name=catalog_name(place),
        description=f"Tables of the machine-learning platform {place.namespace}",
    )


def _log_groups(settings: Settings, place: Place) -> Iterator[Declared]:
    endpoints = {
        f"inference_{endpoint}": f"/aws/sagemaker/Endpoints/{place.name(endpoint)}" for endpoint in settings.endpoints
    }
    for purpose, name in {**(JOB_LOGS if settings.logs.account_wide else {}), **endpoints}.items():
        group = LogGroup(name=name, retention_days=settings.logs.retention_days, kms_key=KEY)
        yield Declared(f"{DATA}.log_group.{purpose}", group)
