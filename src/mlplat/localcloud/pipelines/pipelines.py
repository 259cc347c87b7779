"""Pipelines: CreatePipeline and its siblings. Each other definition is another version."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.pipelines import definitions
from mlplat.localcloud.sagemaker.errors import conflict, invalid, not_found
from mlplat.localcloud.sagemaker.job_lists import Members, page, part
from mlplat.localcloud.sagemaker.registry import created_by

Record = dict[str, Any]

PIPELINE = Members("PipelineName", "PipelineStatus")
KEPT = ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")
RUNNING = frozenset({"Executing", "Stopping"})


class Pipelines:
    """The operations on pipelines of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._pipelines = cloud.store("pipelines")

    def create_pipeline(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a pipeline; the same token makes it once."""
        name, tokens, token = request["PipelineName"], self._cloud.store("pipeline_tokens"), self._token(request)
        definition = self._definition(request)
        if definition is None:
            raise invalid("Either PipelineDefinition or PipelineDefinitionS3Location is required.")  # not verified
        definitions.parse(definition)
        with self._cloud.lock:
            if name in self._pipelines:
                if tokens.get(token) == self._pipelines[name]["PipelineArn"]:
                    return {"PipelineArn": tokens[token]}  # the same call, sent again
                raise invalid(
                    "Pipeline names must be unique within an AWS account and region. Pipeline with name "
                    f"({name}) already exists."
                )
            made = self._record(request, definition)
            self._pipelines[name], tokens[token] = made, made["PipelineArn"]
            self._cloud.tag(made["PipelineArn"], request.get("Tags"))
        return {"PipelineArn": made["PipelineArn"]}

    def update_pipeline(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change what the request names. Executions that run keep the definition that they began with."""
        find_pipeline(self._cloud, request["PipelineName"])
        definition = self._definition(request)
        if definition is not None:
            definitions.parse(definition)
        with self._cloud.lock:
            found = find_pipeline(self._cloud, request["PipelineName"])
            if found["PipelineStatus"] != "Active":  # wording not verified
                raise conflict(f"Pipeline {found['PipelineArn']} is being deleted.")
            now = self._cloud.now()
            found |= {name: request[name] for name in KEPT if name in request}
            found |= {"LastModifiedTime": now, "LastModifiedBy": created_by(self._cloud)}
            if definition not in (None, found["PipelineDefinition"]):
                found["PipelineDefinition"] = definition
                found["Versions"].append(_version(len(found["Versions"]) + 1, str(definition), now))
            number = found["Versions"][-1]["PipelineVersionId"]
            return {"PipelineArn": found["PipelineArn"], "PipelineVersionId": number}

    def describe_pipeline(self, request: dict[str, Any]) -> dict[str, Any]:
        """A pipeline, by name or ARN, as it is or as a version of it was defined."""
        with self._cloud.lock:
            found = find_pipeline(self._cloud, request["PipelineName"])
            version = version_of(found, request.get("PipelineVersionId"))
            return found | {"PipelineDefinition": version["PipelineDefinition"]}

    def list_pipelines(self, request: dict[str, Any]) -> dict[str, Any]:
        """Summaries by prefix and time, newest first unless told otherwise."""
        prefix = request.get("PipelineNamePrefix", "")
        with self._cloud.lock:
            chosen = [each for name, each in self._pipelines.items() if name.startswith(prefix)]
        times = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
        asked = {times.get(name, name): each for name, each in request.items()}
        asked |= {"SortOrder": request.get("SortOrder", "Descending")}
        if asked["SortOrder"] == "Descending":
            chosen.reverse()  # of two made in the same millisecond, the later one first
        found, token = page(chosen, asked, PIPELINE)
        return {
            "PipelineSummaries": [{**each, "LastExecutionTime": each.get("LastRunTime")} for each in found],
            "NextToken": token,
        }

    def list_pipeline_versions(self, request: dict[str, Any]) -> dict[str, Any]:
        """The versions of a pipeline, newest first unless told otherwise."""
        with self._cloud.lock:
            found = find_pipeline(self._cloud, request["PipelineName"])
            versions = [{**each, "PipelineArn": found["PipelineArn"]} for each in found["Versions"]]
        if request.get("SortOrder", "Descending") == "Descending":
            versions.reverse()
        listed, token = part(versions, request)
        return {"PipelineVersionSummaries": listed, "NextToken": token}

    def delete_pipeline(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete a pipeline with all its executions, in the background; none may be running (API reference)."""
        with self._cloud.lock:
            found = find_pipeline(self._cloud, request["PipelineName"])
            arn = found["PipelineArn"]
            statuses = {each["PipelineExecutionStatus"] for each in self._executions_of(arn).values()}
            if statuses & RUNNING:  # wording not verified
                raise conflict(f"Pipeline {arn} has executions that are running: stop them before you delete it.")
            found["PipelineStatus"] = "Deleting"
        self._cloud.later(partial(self._forget, found))
        return {"PipelineArn": arn}

    def resume(self) -> None:
        """After a restart: what was being deleted goes."""
        with self._cloud.lock:
            going = [each for each in self._pipelines.values() if each["PipelineStatus"] == "Deleting"]
        for each in going:
            self._cloud.later(partial(self._forget, each))

    def _executions_of(self, arn: str) -> dict[str, Record]:
        executions = self._cloud.store("pipeline_executions")
        return {name: each for name, each in executions.items() if each["PipelineArn"] == arn}

    def _forget(self, pipeline: Record) -> None:
        with self._cloud.lock:
            if self._pipelines.get(pipeline["PipelineName"]) is not pipeline:
                return
            del self._pipelines[pipeline["PipelineName"]]
            self._cloud.tags.pop(pipeline["PipelineArn"], None)
            for arn in self._executions_of(pipeline["PipelineArn"]):
                del self._cloud.store("pipeline_executions")[arn]

    def _token(self, request: Mapping[str, Any]) -> str:
        return f"{request['PipelineName']} {request['ClientRequestToken']}"

    def _definition(self, request: Mapping[str, Any]) -> str | None:
        """As it is given, or from S3. Don't hold the cloud's lock."""
        from botocore.exceptions import ClientError

        if "PipelineVersionAliases" in request:
            raise invalid("The local cloud does not implement aliases of pipeline versions.")
        place = request.get("PipelineDefinitionS3Location")
        if place is None:
            return request.get("PipelineDefinition")
        if "PipelineDefinition" in request:  # wording not verified
            raise invalid("Only one of PipelineDefinition and PipelineDefinitionS3Location can be given.")
        version = {"VersionId": place["VersionId"]} if "VersionId" in place else {}
        try:
            answer = self._cloud.aws("s3").get_object(Bucket=place["Bucket"], Key=place["ObjectKey"], **version)
            return str(answer["Body"].read().decode())
        except ClientError as error:
            raise invalid(f"Could not read the pipeline definition: {error}") from error  # wording not verified
        except UnicodeDecodeError as error:
            raise definitions.malformed("The definition is not UTF-8.") from error

    def _record(self, request: Mapping[str, Any], definition: str) -> Record:
        """A new pipeline, in the shape of DescribePipeline, with its Versions besides."""
        name, now = request["PipelineName"], self._cloud.now()
        return {"PipelineDisplayName": name} | {each: request[each] for each in KEPT if each in request} | {
            "PipelineName": name,
            "PipelineArn": self._cloud.arn(f"pipeline/{name}"),
            "PipelineDefinition": definition,
            "PipelineStatus": "Active",
            "CreationTime": now,
            "LastModifiedTime": now,
            "CreatedBy": created_by(self._cloud),
            "LastModifiedBy": created_by(self._cloud),
            "Versions": [_version(1, definition, now)],
        }  # fmt: skip


def find_pipeline(cloud: Cloud, name: str) -> Record:
    """The pipeline of that name or ARN."""
    found: Record | None = cloud.store("pipelines").get(name.rpartition("/")[2])
    if found is None:
        arn = name if name.startswith("arn:") else cloud.arn(f"pipeline/{name}")
        raise not_found(f"Pipeline '{arn}' does not exist.")  # the suffix is recorded
    return found


def version_of(pipeline: Mapping[str, Any], number: int | None) -> Record:
    """A version of a pipeline; the newest when no number is given."""
    versions: list[Record] = pipeline["Versions"]
    if number is None:
        return versions[-1]
    if not 0 < number <= len(versions):
        raise not_found(f"Version {number} of pipeline '{pipeline['PipelineArn']}' does not exist.")
    return versions[number - 1]


def _version(number: int, definition: str, now: Any) -> Record:
    return {"PipelineVersionId": number, "PipelineDefinition": definition, "CreationTime": now}
