"""What is written about the features of a group: a description and parameters (its owner, for example).

Only what is declared is read and compared. DescribeFeatureMetadata takes one feature at a time, Search takes many but
lags behind: a feature that declares nothing costs no call. There is no call that takes several updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlplat.aws import Session

AT_ONCE = 8
About = Mapping[str, Mapping[str, Any]]
"""By feature: `description`, and `parameters` by their keys; each only as far as it is declared."""


def described(aws: Session, group: str, features: Iterable[str], declared: About) -> dict[str, dict[str, Any]]:
    """What is there of what is declared; `features` are those that the group has."""
    names = [name for name in features if name in declared]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        found = pool.map(lambda name: _read(aws, group, name, declared[name]), names)
        return dict(zip(names, found, strict=True))


def write(aws: Session, group: str, desired: About, there: About) -> None:
    """Write what differs, a call for each feature; a parameter that has the key is replaced."""

    def put(name: str) -> None:
        about = desired[name]
        request: dict[str, Any] = {"Description": about["description"]} if "description" in about else {}
        if parameters := about.get("parameters"):
            request["ParameterAdditions"] = [{"Key": key, "Value": value} for key, value in parameters.items()]
        aws.client("sagemaker").update_feature_metadata(FeatureGroupName=group, FeatureName=name, **request)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(put, [name for name in desired if desired[name] != there.get(name)]))


def _read(aws: Session, group: str, name: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    read = aws.client("sagemaker").describe_feature_metadata
    answer = aws.find(lambda: read(FeatureGroupName=group, FeatureName=name)) or {}  # a group that failed may have none
    parameters = {each["Key"]: each["Value"] for each in answer.get("Parameters", ())}
    found: dict[str, Any] = {"description": answer.get("Description", "")} if "description" in declared else {}
    if "parameters" in declared:
        found["parameters"] = {key: parameters[key] for key in declared["parameters"] if key in parameters}
    return found
