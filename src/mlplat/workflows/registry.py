"""Model versions: registered by a training, approved or rejected by a person, deployed by number."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mlplat.errors import NotSettled, UsageError, telling
from mlplat.workflows.choice import chosen
from mlplat.workflows.files import digest
from mlplat.workflows.platform import Platform

APPROVAL = {"approve": "Approved", "reject": "Rejected"}


@dataclass(frozen=True)
class Version:
    """One model package: `approval` is Approved, Rejected or PendingManualApproval."""

    group: str
    version: int
    arn: str
    approval: str
    job: str = ""
    created: Any = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All fields, for `--json`."""
        return asdict(self)


def group_name(platform: Platform, group: str | None) -> str:
    """The AWS name of a model package group of the configuration; the only one when none is named."""
    known = {spec.model_package_group: spec for spec in platform.settings.workloads.values()}
    name, _ = chosen(known, group, "model package group", "mlplat registry list")
    return str(platform.output(f"ml_feature_store.model_package_group.{name}", "name"))


def versions(platform: Platform, group: str) -> list[Version]:
    """Every version of a group (AWS name), newest first, with its metrics."""
    client = platform.session.client("sagemaker")
    listed = list(
        client.pages(
            "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group, SortOrder="Descending"
        )
    )
    with ThreadPoolExecutor(max_workers=8) as pool:
        full = list(
            pool.map(lambda each: client.describe_model_package(ModelPackageName=each["ModelPackageArn"]), listed)
        )
    return sorted((_version(each) for each in full), key=lambda each: -each.version)


def _version(found: Mapping[str, Any]) -> Version:
    said = found.get("CustomerMetadataProperties", {})
    return Version(
        group=found["ModelPackageGroupName"],
        version=int(found["ModelPackageVersion"]),
        arn=found["ModelPackageArn"],
        approval=found.get("ModelApprovalStatus", "PendingManualApproval"),
        job=said.get("training_job", ""),
        created=found.get("CreationTime"),
        metrics={key[7:]: float(value) for key, value in said.items() if key.startswith("metric:")},
    )


def register(
    platform: Platform,
    group: str,
    container: Mapping[str, Any],
    job: str,
    workload: str,
    metrics: Mapping[str, float],
) -> Version:
    """The version made from a job's model, pending approval. One job gives one version, however often asked."""
    client = platform.session.client("sagemaker")
    for known in versions(platform, group):
        if known.job == job:
            return known
    request = package_request(group, container, job, workload, metrics)
    made_at = client.describe_model_package_group(ModelPackageGroupName=group)["CreationTime"]
    token = digest(group, str(made_at), job)  # a group made again gets none of the former one's versions back
    with telling(f"registering the model of {job} in {group}", "mlplat registry list"):
        made = client.create_model_package(**request, ClientToken=token)
    return _version(_settled(platform, made["ModelPackageArn"]))


def _settled(platform: Platform, arn: str) -> Mapping[str, Any]:
    """The version once it can be deployed: ModelPackageStatus begins as Pending. Raises NotSettled with the reason."""
    client = platform.session.client("sagemaker")
    found: Mapping[str, Any] = platform.session.wait(
        f"model package {arn}",
        lambda: client.describe_model_package(ModelPackageName=arn),
        lambda answer: answer["ModelPackageStatus"] not in ("Pending", "InProgress"),
        within=600,
    )
    if found["ModelPackageStatus"] != "Completed":
        each = found.get("ModelPackageStatusDetails", {})
        said = [one.get("FailureReason") for part in each.values() for one in part if one.get("FailureReason")]
        why = "; ".join(said) or "SageMaker gives no reason"
        raise NotSettled(f"registering {arn}: {found['ModelPackageStatus']}: {why}", hint="mlplat registry list")
    return found


def package_request(
    group: str, container: Mapping[str, Any], job: str, workload: str, metrics: Mapping[str, float]
) -> dict[str, Any]:
    """CreateModelPackage, whole but for its ClientToken.

    Without lists of supported instance types, which versioned packages may leave out and which would forbid all others.
    """
    metadata = {f"metric:{key}": f"{value:.6g}" for key, value in metrics.items()}
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": f"{workload}, trained by {job}",
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [dict(container)],
            "SupportedContentTypes": ["text/csv", "application/json"],
            "SupportedResponseMIMETypes": ["text/csv", "application/json"],
        },
        "CustomerMetadataProperties": {"training_job": job, "workload": workload, **metadata},
    }


def find(platform: Platform, group: str, wanted: str) -> Version:
    """A version by its number, or `latest` (approved or not). Raises UsageError that lists what there is."""
    known = versions(platform, group)
    for each in known:
        if wanted in ("latest", str(each.version)):
            return each
    there = ", ".join(str(each.version) for each in known) or "none"
    raise UsageError(
        f"finding version {wanted} of model package group {group}: its versions are {there}",
        hint="mlplat registry list",
    )


def latest_approved(platform: Platform, group: str) -> Version:
    """The newest approved version. Raises UsageError that says how to approve one."""
    known = versions(platform, group)
    for each in known:
        if each.approval == "Approved":
            return each
    if not known:
        raise UsageError(f"model package group {group} has no version yet", hint="mlplat train")
    raise UsageError(
        f"no version of model package group {group} is approved ({len(known)} pending or rejected)",
        hint=f"mlplat registry approve {known[0].version}",
    )


def decide(
    platform: Platform, group: str, wanted: str, verdict: Literal["approve", "reject"], why: str | None
) -> Version:
    """Approve or reject a version; deciding the same again changes nothing."""
    found = find(platform, group, wanted)
    if found.approval == APPROVAL[verdict]:
        return found
    client = platform.session.client("sagemaker")
    reason = {"ApprovalDescription": why} if why else {}
    client.update_model_package(ModelPackageArn=found.arn, ModelApprovalStatus=APPROVAL[verdict], **reason)
    return _version(client.describe_model_package(ModelPackageName=found.arn))
