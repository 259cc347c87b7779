"""What is written about single features: a description and parameters, kept with their feature group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import invalid, not_found
from mlplat.localcloud.sagemaker.feature_groups import find_feature_group

OWN = "FeatureMetadata"
"""Ours, in a group: what was written, by feature."""

MOST_PARAMETERS = 25
"""Of a feature (botocore, FeatureParameters)."""


class FeatureMetadata:
    """DescribeFeatureMetadata and UpdateFeatureMetadata."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def describe_feature_metadata(self, request: dict[str, Any]) -> dict[str, Any]:
        """The feature's type, when it came, and what was written about it."""
        with self._cloud.lock:
            group, definition = self._feature(request)
            return described(group, definition)

    def update_feature_metadata(self, request: dict[str, Any]) -> None:
        """Add and remove parameters; another description replaces the one that is there."""
        with self._cloud.lock:
            group, definition = self._feature(request)
            written = dict(group.get(OWN, {}).get(definition["FeatureName"], {}))
            parameters = dict(written.get("Parameters", {}))
            for key in request.get("ParameterRemovals", ()):
                parameters.pop(key, None)
            parameters |= {each["Key"]: each["Value"] for each in request.get("ParameterAdditions", ())}
            if len(parameters) > MOST_PARAMETERS:  # wording not verified
                raise invalid(f"A feature can have at most {MOST_PARAMETERS} parameters.")
            if "Description" in request:
                written["Description"] = request["Description"]
            written |= {"Parameters": parameters, "LastModifiedTime": self._cloud.now()}
            group[OWN] = {**group.get(OWN, {}), definition["FeatureName"]: written}

    def _feature(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
        group, name = find_feature_group(self._cloud, request["FeatureGroupName"]), request["FeatureName"]
        for definition in group["FeatureDefinitions"]:
            if definition["FeatureName"] == name:
                return group, definition
        raise not_found(
            f"Resource Not Found: Amazon SageMaker can't find a feature with name [{name}] in FeatureGroup "
            f"[{group['FeatureGroupName']}]."
        )  # wording not verified


def described(group: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    """A feature in the shape of DescribeFeatureMetadata's answer."""
    written = group.get(OWN, {}).get(definition["FeatureName"], {})
    parameters = [{"Key": key, "Value": value} for key, value in written.get("Parameters", {}).items()]
    return {
        "FeatureGroupArn": group["FeatureGroupArn"],
        "FeatureGroupName": group["FeatureGroupName"],
        "FeatureName": definition["FeatureName"],
        "FeatureType": definition["FeatureType"],
        "CreationTime": group["CreationTime"],
        "LastModifiedTime": written.get("LastModifiedTime", group["LastModifiedTime"]),
        **({"Description": written["Description"]} if written.get("Description") else {}),
        "Parameters": parameters,
    }


def of_all(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """Every feature of every group."""
    for group in cloud.store("feature_groups").values():
        for definition in group["FeatureDefinitions"]:
            yield described(group, definition)
