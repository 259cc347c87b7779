"""SageMaker pipelines: steps that run one after another whenever somebody, or a schedule, starts them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mlplat.aws import Session, tag_list
from mlplat.errors import ApiError
from mlplat.resources.base import Observed, Ref, Resource
from mlplat.resources.sagemaker import claim, settled, tags_of

RUNNING = ("Executing", "Stopping")


@dataclass(frozen=True, kw_only=True)
class Pipeline(Resource):
    """A pipeline by its definition (Pipelines' JSON schema, version 2020-12-01).

    What AWS makes special (API reference, CreatePipeline, UpdatePipeline, DeletePipeline):

    - ClientRequestToken makes CreatePipeline idempotent; a name that is taken is refused (ValidationException).
    - UpdatePipeline changes what runs from then on; executions that run go on with what they began with.
    - DeletePipeline is refused (ConflictException) while executions run: they are stopped first, and waited for.
      With a pipeline goes the record of its executions; what they wrote stays.
    """

    kind: ClassVar[str] = "pipeline"
    immutable: ClassVar[frozenset[str]] = frozenset({"name"})

    definition: Mapping[str, Any]
    role: str | Ref
    description: str = ""

    def describe(self, aws: Session, id: str | None = None) -> Observed | None:
        """The pipeline by its name, which is its id, once it is not being deleted."""
        name = id or self.name
        found = settled(
            aws,
            f"pipeline {name}",
            lambda: aws.client("sagemaker").describe_pipeline(PipelineName=name),
            lambda answer: {answer["PipelineStatus"]} & {"Deleting"},
            within=600.0,
        )
        if found is None:
            return None
        fields = {
            "name": found["PipelineName"],
            "definition": json.loads(found["PipelineDefinition"]),
            "role": found["RoleArn"],
            "description": found.get("PipelineDescription", ""),
        }
        arn = found["PipelineArn"]
        return Observed(name, fields, {"name": name, "arn": arn}, tags_of(aws, arn))

    def create(self, aws: Session) -> str:
        """CreatePipeline with tags."""
        aws.client("sagemaker").create_pipeline(
            **self._request(), ClientRequestToken=uuid.uuid4().hex, Tags=tag_list(aws.tags)
        )
        return self.name

    def update(self, aws: Session, seen: Observed, changed: frozenset[str]) -> None:
        """The definition with its role and description, and tags."""
        if "tags" in changed:
            claim(aws, seen)
        if changed - {"tags"}:
            aws.client("sagemaker").update_pipeline(**self._request())

    def delete(self, aws: Session, id: str) -> None:
        """Stop its executions, wait for their end, and delete it."""
        with aws.gone_is_fine():
            self._end_executions(aws, id)
            aws.client("sagemaker").delete_pipeline(PipelineName=id, ClientRequestToken=uuid.uuid4().hex)
        self.describe(aws, id)

    def _request(self) -> dict[str, Any]:
        return {
            "PipelineName": self.name,
            "PipelineDefinition": json.dumps(self.definition),
            "PipelineDescription": self.description,
            "RoleArn": self.role,
        }

    def _running(self, aws: Session, id: str) -> list[dict[str, Any]]:
        listed = aws.client("sagemaker").pages(
            "list_pipeline_executions", "PipelineExecutionSummaries", PipelineName=id
        )
        return [each for each in listed if each["PipelineExecutionStatus"] in RUNNING]

    def _end_executions(self, aws: Session, id: str) -> None:
        for each in self._running(aws, id):
            if each["PipelineExecutionStatus"] == "Executing":
                _stop(aws, each["PipelineExecutionArn"])
        aws.wait(f"the executions of pipeline {id} to end", lambda: self._running(aws, id), lambda left: not left)


def _stop(aws: Session, execution: str) -> None:
    try:
        aws.client("sagemaker").stop_pipeline_execution(
            PipelineExecutionArn=execution, ClientRequestToken=uuid.uuid4().hex
        )
    except ApiError as error:
        if error.code not in ("ConflictException", "ValidationException"):  # it ended a moment ago
            raise
