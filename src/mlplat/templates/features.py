"""ml_feature_store: feature groups, the role and the work group of their offline half, groups of model versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlplat.resources import AthenaWorkGroup, FeatureGroup, ModelPackageGroup, Role
from mlplat.resources.base import Declared, Ref
from mlplat.templates.feature_access import access
from mlplat.templates.feature_monitoring import monitoring
from mlplat.templates.permissions import DATA, KEY, allow, assumed_by_sagemaker, bucket, document
from mlplat.templates.place import Place
from mlplat.templates.release import Release
from mlplat.templates.transformations import transformations
from mlplat.templates.versions import FEATURE_STORE as NAME
from mlplat.templates.versions import PREFIX, versioned

if TYPE_CHECKING:
    from mlplat.settings import FeatureGroup as GroupSettings
    from mlplat.settings import Settings
    from mlplat.settings.features import AboutFeature

ROLE = Ref(f"{NAME}.role.feature_store", "arn")
DATABASE = f"{DATA}.glue_database.catalog"


def ml_feature_store(settings: Settings, place: Place, _releases: Mapping[str, Release]) -> list[Declared]:
    """Every feature group in its present version, a package group for each that a workload names, what they need."""
    named = {versioned(name, group.version): group for name, group in settings.feature_groups.items()}
    groups = [
        Declared(f"{NAME}.feature_group.{name}", _feature_group(name, group, place)) for name, group in named.items()
    ]
    packages = {
        workload.model_package_group: workload.description or f"Versions of {name}"
        for name, workload in reversed(settings.workloads.items())
    }
    registries = [
        Declared(
            f"{NAME}.model_package_group.{name}",
            _registry(settings, place, place.name(name), packages[name]),
        )
        for name in sorted(packages)
    ]
    queries = [Declared(f"{NAME}.athena_work_group.features", _work_group(place))]
    offline = any(group.offline for group in settings.feature_groups.values())
    names = {name: place.name(versioned(name, group.version)) for name, group in settings.feature_groups.items()}
    role = Declared(f"{NAME}.role.feature_store", _role(settings, place))
    return [
        role,
        *groups,
        *registries,
        *queries[:offline],
        *access(settings, place),
        *transformations(settings, place),
        *monitoring(settings, place, names),
    ]


def _registry(settings: Settings, place: Place, name: str, description: str) -> ModelPackageGroup:
    """What other accounts need to see a group and its versions (developer guide, "Set up discoverability")."""
    if not settings.registry.readers:
        return ModelPackageGroup(name=name, description=description)
    readers = [f"arn:{place.partition}:iam::{account}:root" for account in sorted(set(settings.registry.readers))]
    see = {
        "Sid": "SeeVersions",
        "Effect": "Allow",
        "Principal": {"AWS": readers},
        "Action": [
            f"sagemaker:{each}" for each in ("DescribeModelPackage", "DescribeModelPackageGroup", "ListModelPackages")
        ],
        "Resource": [
            place.arn("sagemaker", each) for each in (f"model-package-group/{name}", f"model-package/{name}/*")
        ],
    }
    return ModelPackageGroup(name=name, description=description, policy=document(see))


def _work_group(place: Place) -> AthenaWorkGroup:
    """Where the offline store is queried; results go where they expire."""
    return AthenaWorkGroup(
        name=place.name("features"),
        output_location=Ref(f"{DATA}.bucket.experiments", "uri", "{}/temp/athena/"),
        key=KEY,
        description="Questions to the offline store of the feature groups",
    )


def _feature_group(name: str, group: GroupSettings, place: Place) -> FeatureGroup:
    offline = {
        "uri": Ref(f"{DATA}.bucket.processed", "uri", f"{{}}/{PREFIX}"),
        "key": KEY,
        "database": Ref(DATABASE, "name"),
        "format": group.table_format,
    }
    throughput = {"read": group.read_capacity, "write": group.write_capacity}
    return FeatureGroup(
        name=place.name(name),
        features=group.features,
        record_identifier=group.record_identifier,
        event_time=group.event_time,
        online=group.online_storage if group.online else "",
        online_key=KEY if group.online else None,  # type: ignore[arg-type]
        ttl=group.ttl or "",
        offline=offline if group.offline else None,  # type: ignore[arg-type]
        role=ROLE if group.offline else None,  # type: ignore[arg-type]
        throughput={key: value for key, value in throughput.items() if value is not None},
        description=group.description,
        about={name: _about(each) for name, each in group.about.items()},
        owner=group.owner,
    )


def _about(feature: AboutFeature) -> dict[str, Any]:
    """What is declared of a feature, and no more: what is not is left as it is."""
    parameters = {**({"owner": feature.owner} if feature.owner else {}), **feature.parameters}
    found: dict[str, Any] = {} if feature.description is None else {"description": feature.description}
    return found | ({"parameters": parameters} if parameters else {})


def _role(settings: Settings, place: Place) -> Role:
    """What AWS's AmazonSageMakerFeatureStoreAccess allows, but in our bucket, database and key alone.

    Making the table in a database of one's own is not in that policy, which knows only `sagemaker_featurestore`.
    """
    files = allow("WriteRecords", ["s3:PutObject", "s3:PutObjectAcl"], bucket("processed", f"{PREFIX}/"))
    owner = allow("SeeOwner", ["s3:GetBucketAcl"], [Ref(f"{DATA}.bucket.processed", "arn")])
    metadata = allow("ReadMetadata", ["s3:GetObject"], bucket("processed", f"{PREFIX}/*/metadata/"))
    catalog = allow(
        "KeepTable",
        ["glue:CreateTable", "glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"],
        [place.arn("glue", "catalog"), Ref(DATABASE, "arn"), Ref(DATABASE, "name", place.arn("glue", "table/{}/*"))],
    )
    key = allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [KEY])
    return Role(
        name=place.name("feature-store", place.region, limit=64),
        trust=assumed_by_sagemaker(settings, place),
        policies={"offline-store": document(files, owner, metadata, catalog, key)},
        description="Feature store: keeps the offline store",
    )
