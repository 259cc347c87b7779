"""Search: SageMaker's objects by their properties, in the expressions of the API reference."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker import feature_metadata
from mlplat.localcloud.sagemaker.errors import NotMine, invalid
from mlplat.localcloud.sagemaker.search_conditions import Properties, meets

PAGE = 10
Record = Mapping[str, Any]

STORES = {
    "TrainingJob": ("training_jobs", "TrainingJobArn"),
    "HyperParameterTuningJob": ("tuning_jobs", "HyperParameterTuningJobArn"),
    "Endpoint": ("endpoints", "EndpointArn"),
    "ModelPackage": ("model_packages", "ModelPackageArn"),
    "ModelPackageGroup": ("model_package_groups", "ModelPackageGroupArn"),
    "FeatureGroup": ("feature_groups", "FeatureGroupArn"),
    "Pipeline": ("pipelines", "PipelineArn"),
    "PipelineExecution": ("pipeline_executions", "PipelineExecutionArn"),
}
"""Where the objects of a type are, and what names one in the tags."""

OF_MOTO = frozenset({"Experiment", "ExperimentTrial", "ExperimentTrialComponent"})
"""What moto keeps and finds."""

MOST_CONDITIONS = 50
MOST_CONTAINS = 1
"""Both of one expression (botocore, SearchRequest and Operator)."""


class Search:
    """The operation Search. The local cloud has no project, hub, job or card, and no other account."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def search(self, request: dict[str, Any]) -> dict[str, Any]:
        """The objects of one type that meet the expression, in order, a page at a time."""
        kind = request["Resource"]
        if kind in OF_MOTO:
            raise NotMine
        if kind not in (*STORES, "Model", "FeatureMetadata"):
            raise invalid(f"The local cloud keeps nothing of the type {kind} that could be searched.")
        properties = Properties.of(kind)
        found = self._found(properties, request)
        by = request.get("SortBy", "LastModifiedTime" if properties.has("LastModifiedTime") else "CreationTime")
        found.sort(key=partial(_place, properties, by), reverse=request.get("SortOrder", "Descending") == "Descending")
        start, size = _start(request.get("NextToken")), int(request.get("MaxResults", PAGE))
        rest = base64.urlsafe_b64encode(str(start + size).encode()).decode() if start + size < len(found) else None
        return {
            "Results": [{kind: each} for each in found[start : start + size]],
            "NextToken": rest,
            "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
        }

    def _found(self, properties: Properties, request: Mapping[str, Any]) -> list[Record]:
        expression = request.get("SearchExpression")
        if expression is not None:
            _check(properties, expression)
        visible = [{"Name": each["Key"], "Value": each["Value"]} for each in request.get("VisibilityConditions", ())]
        if request.get("CrossAccountFilterOption") == "CrossAccount":
            return []
        with self._cloud.lock:
            records = list(_records(self._cloud, request["Resource"]))
        wanted = {"Filters": visible} if visible else {}
        return [
            each for each in records if meets(properties, expression or {}, each) and meets(properties, wanted, each)
        ]


def _records(cloud: Cloud, kind: str) -> Iterator[Record]:
    if kind == "FeatureMetadata":
        yield from feature_metadata.of_all(cloud)
        return
    if kind == "Model":
        for model in cloud.store("models").values():
            yield {"Model": _tagged(cloud, model, "ModelArn")}
        return
    store, arn = STORES[kind]
    for each in cloud.store(store).values():
        yield _tagged(cloud, each, arn)


def _tagged(cloud: Cloud, record: Record, arn: str) -> Record:
    tags = cloud.tags.get(record[arn], {})
    return {**record, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _check(properties: Properties, expression: Mapping[str, Any]) -> None:
    """Botocore, SearchExpression and SearchRequest; the wordings are not verified but the last one."""
    conditions = list(_conditions(expression))
    if not conditions:
        raise invalid("A SearchExpression must have at least one subexpression, filter, or nested filter.")
    if len(conditions) > MOST_CONDITIONS:
        raise invalid(f"A SearchExpression can have at most {MOST_CONDITIONS} conditions.")
    for each in conditions:
        properties.check(each)
    if sum(each.get("Operator") == "Contains" for each in conditions) > MOST_CONTAINS:
        raise invalid(f"'CONTAINS' operator usage limit of {MOST_CONTAINS} exceeded.")


def _conditions(expression: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from expression.get("Filters", ())
    for each in expression.get("NestedFilters", ()):
        yield from each["Filters"]
    inner: Iterable[Mapping[str, Any]] = expression.get("SubExpressions", ())
    for each in inner:
        yield from _conditions(each)


def _place(properties: Properties, name: str, record: Record) -> tuple[Any, ...]:
    """Of a record among the others; those without the property come first."""
    value = next(iter(properties.values(name, record)), None)
    if value is None:
        return (0,)
    if isinstance(value, datetime):
        return (1, value.astimezone(UTC).timestamp())
    return (1, value) if isinstance(value, int | float) else (2, str(value))


def _start(token: str | None) -> int:
    try:
        return int(base64.urlsafe_b64decode(token)) if token else 0
    except (binascii.Error, ValueError) as error:
        raise invalid("Invalid pagination token.") from error
