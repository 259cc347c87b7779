"""Instances that are in use, counted against the account's quotas when more are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlplat.localcloud import quotas
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.progress import FINISHED
from mlplat.localcloud.sagemaker.endpoint_variants import counts
from mlplat.localcloud.sagemaker.errors import limit_exceeded

Use = tuple[str, int]
"""An instance type and how many of it."""


def check(cloud: Cloud, usage: str, wanted: Iterable[Use]) -> None:
    """Refuse more instances than the quota leaves, in AWS's words. `usage`: `training job`, `endpoint` and such."""
    used, asked = Counter[str](), Counter[str]()
    for kind, count in wanted:
        asked[kind] += count
    with cloud.lock:
        for kind, count in _USED[usage](cloud):
            used[kind] += count
    for kind, count in asked.items():
        name = quotas.usage_name(kind, usage)
        limit = quotas.applied(cloud, name)
        if used[kind] + count > limit:
            raise limit_exceeded(
                f"The account-level service limit '{name}' is {limit:.0f} Instances, with current utilization of "
                f"{used[kind]} Instances and a request delta of {count} Instances. Please use AWS Service Quotas to "
                "request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to "
                "request an increase for this quota."
            )


def of_training(request: Mapping[str, Any]) -> tuple[str, list[Use]]:
    """What a training job, or a request for one, uses: spot instances have quotas of their own."""
    resources = request.get("ResourceConfig", {})
    groups = resources.get("InstanceGroups") or [resources]
    usage = "spot training job" if request.get("EnableManagedSpotTraining") else "training job"
    return usage, [(each["InstanceType"], each["InstanceCount"]) for each in groups if "InstanceType" in each]


def of_processing(request: Mapping[str, Any]) -> list[Use]:
    """What a processing job uses."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    first = (cluster.get("InstancePreferences") or [cluster])[0]
    return [(first["InstanceType"], first.get("InstanceCount", cluster.get("InstanceCount", 1)))]


def of_transform(request: Mapping[str, Any]) -> list[Use]:
    """What a transform job uses."""
    resources = request["TransformResources"]
    return [(resources["InstanceType"], resources["InstanceCount"])]


def of_variants(config: Mapping[str, Any], wanted: Mapping[str, int] | None = None) -> list[Use]:
    """What an endpoint of this configuration uses, with other counts by variant where there are. Serverless: none."""
    return [
        (each["InstanceType"], (wanted or {}).get(each["VariantName"], each.get("InitialInstanceCount", 1)))
        for each in config.get("ProductionVariants", ())
        if "InstanceType" in each
    ]


def _training(cloud: Cloud, usage: str) -> Iterator[Use]:
    for job in cloud.store("training_jobs").values():
        if job["TrainingJobStatus"] not in FINISHED:
            its, found = of_training(job)
            yield from found if its == usage else ()


def _processing(cloud: Cloud) -> Iterator[Use]:
    for job in cloud.store("processing_jobs").values():
        if job["ProcessingJobStatus"] not in FINISHED:
            yield from of_processing(job)


def _transform(cloud: Cloud) -> Iterator[Use]:
    for job in cloud.store("transform_jobs").values():
        if job["TransformJobStatus"] not in FINISHED:
            yield from of_transform(job)


def _endpoints(cloud: Cloud) -> Iterator[Use]:
    """Those that are served, and those that come up beside them during an update."""
    configs = cloud.store("endpoint_configs")
    for endpoint in cloud.store("endpoints").values():
        if endpoint["EndpointStatus"] not in ("Failed", "Deleting"):
            for each in (endpoint, endpoint.get("PendingDeploymentSummary", {})):
                config = configs.get(each.get("EndpointConfigName"), {})
                yield from of_variants(config, counts(each.get("ProductionVariants", ())))


def _notebooks(cloud: Cloud) -> Iterator[Use]:
    for each in cloud.store("notebook_instances").values():
        if each["NotebookInstanceStatus"] in ("Pending", "InService", "Updating"):
            yield each["InstanceType"], 1


_USED = {
    "training job": lambda cloud: _training(cloud, "training job"),
    "spot training job": lambda cloud: _training(cloud, "spot training job"),
    "processing job": _processing,
    "transform job": _transform,
    "endpoint": _endpoints,
    "notebook instance": _notebooks,
}
