"""What later steps can know of one that has succeeded: what Describe says of its job, or what it gave out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.pipelines.calls import Failed, call
from mlplat.localcloud.pipelines.definitions import Step
from mlplat.localcloud.pipelines.expressions import Unresolved
from mlplat.localcloud.pipelines.step_types import MAKING

BEST = 50
"""Training jobs of a Tuning step that can be referred to. Source: the SDK's get_top_model_s3_uri."""

CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "Integer": int,
    "Float": float,
    "Boolean": lambda text: text.lower() == "true",
}


def of(cloud: Cloud, step: Step, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """By the step's record. Raises Unresolved where the role may not ask."""
    metadata = record["Metadata"]
    if step.type == "Condition":
        return {"Outcome": metadata["Condition"]["Outcome"] == "True"}  # the SDK's own tests against AWS: "false"
    if step.type == "Lambda":
        return {"OutputParameters": _lambda(step, metadata["Lambda"].get("OutputParameters", []))}
    made = MAKING[step.type]
    arn = metadata[made.metadata]["Arn"]
    named = arn if step.type == "RegisterModel" else arn.rpartition("/")[2]
    try:
        found = call(cloud, made.describe, **{made.name: named})
        if step.type == "Tuning":
            found |= _best(cloud, found)
    except Failed as error:
        raise Unresolved(str(error).removeprefix("ClientError: ")) from error
    return found


def property_file(step: Step, found: Mapping[str, Any], name: str) -> str:
    """The S3 URI of a property file of a Processing step."""
    declared = next(each for each in step.document["PropertyFiles"] if each["PropertyFileName"] == name)
    outputs = {each["OutputName"]: each for each in found["ProcessingOutputConfig"]["Outputs"]}
    return f"{outputs[declared['OutputName']]['S3Output']['S3Uri'].rstrip('/')}/{declared['FilePath']}"


def read(cloud: Cloud, uri: str) -> bytes:
    """An object of S3, in the role's name. Raises Unresolved."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        body: bytes = call(cloud, "GetObject", service="s3", Bucket=bucket, Key=key)["Body"].read()
    except Failed as error:
        raise Unresolved(f"{uri} can't be read: {str(error).removeprefix('ClientError: ')}") from error
    return body


def _best(cloud: Cloud, job: Mapping[str, Any]) -> dict[str, Any]:
    objective = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    answer = call(
        cloud,
        "ListTrainingJobsForHyperParameterTuningJob",
        HyperParameterTuningJobName=job["HyperParameterTuningJobName"],
        SortBy="FinalObjectiveMetricValue",
        SortOrder="Descending" if objective["Type"] == "Maximize" else "Ascending",
        MaxResults=BEST,
    )
    return {"TrainingJobSummaries": answer["TrainingJobSummaries"]}


def _lambda(step: Step, outputs: list[dict[str, str]]) -> dict[str, Any]:
    types = {each["OutputName"]: each.get("OutputType") for each in step.document.get("OutputParameters") or ()}
    return {each["Name"]: _typed(each["Value"], types.get(each["Name"])) for each in outputs}


def _typed(text: str, kind: str | None) -> Any:
    try:
        return CONVERSIONS.get(str(kind), str)(text)
    except ValueError as error:
        raise Unresolved(f"{json.dumps(text)} is not of type {kind}") from error
