"""Executions of pipelines: StartPipelineExecution and its siblings. How they run is in `running`."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.progress import ENDED_MEANWHILE
from mlplat.localcloud.pipelines import definitions, parameters, running
from mlplat.localcloud.pipelines.expressions import text
from mlplat.localcloud.pipelines.pipelines import find_pipeline, version_of
from mlplat.localcloud.pipelines.telling import Teller
from mlplat.localcloud.sagemaker.errors import conflict, invalid, not_found
from mlplat.localcloud.sagemaker.job_lists import Members, page, part
from mlplat.localcloud.sagemaker.registry import created_by

Record = dict[str, Any]

EXECUTION = Members("PipelineExecutionArn", "PipelineExecutionStatus")
STEP = Members("StepName", "StepStatus")
ID_LENGTH = 12
MOST_RETRIES_IN = frozenset({"Failed", "Stopped"})


class PipelineExecutions:
    """The operations on executions of one region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._executions = cloud.store("pipeline_executions")
        self._teller = Teller(cloud)

    def start_pipeline_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start an execution with the pipeline as it is now; the same token starts it once."""
        if "PipelineVersionAlias" in request:
            raise invalid("The local cloud does not implement aliases of pipeline versions.")
        tokens, token = self._cloud.store("pipeline_execution_tokens"), str(request["ClientRequestToken"])
        with self._cloud.lock:
            pipeline = find_pipeline(self._cloud, request["PipelineName"])
            if tokens.get(token) in self._executions:
                return {"PipelineExecutionArn": tokens[token]}  # the same call, sent again
            if pipeline["PipelineStatus"] != "Active":  # wording not verified
                raise conflict(f"Pipeline {pipeline['PipelineArn']} is being deleted.")
            record = self._record(pipeline, request)
            arn = record["PipelineExecutionArn"]
            run = running.ExecutionRun(self._cloud, record, self._teller)
            self._executions[arn], tokens[token] = record, arn
            pipeline["LastRunTime"] = record["CreationTime"]
            self._teller.execution(dict(record), None)
            run.start()
        return {"PipelineExecutionArn": arn}

    def describe_pipeline_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """All that is known of an execution."""
        with self._cloud.lock:
            return dict(self._find(request))

    def describe_pipeline_definition_for_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """The definition as it was when the execution began."""
        with self._cloud.lock:
            found = self._find(request)
            return {"PipelineDefinition": found["Definition"], "CreationTime": found["CreationTime"]}

    def list_pipeline_parameters_for_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """The value of every parameter, given or default."""
        with self._cloud.lock:
            values = self._find(request)["Values"]
        named = [{"Name": name, "Value": text(each)} for name, each in values.items()]
        found, token = part(named, request)
        return {"PipelineParameters": found, "NextToken": token}

    def list_pipeline_executions(self, request: dict[str, Any]) -> dict[str, Any]:
        """Executions of a pipeline, newest first unless told otherwise."""
        with self._cloud.lock:
            pipeline = find_pipeline(self._cloud, request["PipelineName"])["PipelineArn"]
            mine = [each for each in self._executions.values() if each["PipelineArn"] == pipeline]
        asked = _renamed(request) | {"SortOrder": request.get("SortOrder", "Descending")}
        if asked["SortOrder"] == "Descending":
            mine.reverse()  # of two made in the same millisecond, the later one first
        found, token = page(mine, asked, EXECUTION)
        return {"PipelineExecutionSummaries": [_summary(each) for each in found], "NextToken": token}

    def list_pipeline_execution_steps(self, request: dict[str, Any]) -> dict[str, Any]:
        """The steps that have begun, the latest first unless told otherwise."""
        if "PipelineExecutionArn" not in request:
            raise invalid("PipelineExecutionArn is required.")  # wording not verified
        with self._cloud.lock:
            steps = [dict(each) for each in self._find(request)["Steps"]]
        if request.get("SortOrder", "Descending") == "Descending":
            steps.reverse()
        found, token = part(steps, request)
        return {"PipelineExecutionSteps": found, "NextToken": token}

    def update_pipeline_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Another name or description, or fewer steps at once."""
        names = ("PipelineExecutionDescription", "PipelineExecutionDisplayName", "ParallelismConfiguration")
        with self._cloud.lock:
            found = self._find(request)
            found |= {name: request[name] for name in names if name in request}
            found |= {"LastModifiedTime": self._cloud.now(), "LastModifiedBy": created_by(self._cloud)}
            return {"PipelineExecutionArn": found["PipelineExecutionArn"]}

    def stop_pipeline_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask an execution to end: what runs is stopped, nothing else begins."""
        with self._cloud.lock:
            found = self._find(request)
            arn, status = found["PipelineExecutionArn"], found["PipelineExecutionStatus"]
            run = running.running(self._cloud).get(arn)
            if status != "Stopping":
                if status != "Executing" or run is None:  # wording not verified
                    raise conflict(f"Pipeline execution {arn} can't be stopped in status {status}.")
                run.stop()
        return {"PipelineExecutionArn": arn}

    def retry_pipeline_execution(self, request: dict[str, Any]) -> dict[str, Any]:
        """Go on with an execution that failed or was stopped: steps that succeeded are not run again."""
        tokens, token = self._cloud.store("pipeline_execution_tokens"), str(request["ClientRequestToken"])
        with self._cloud.lock:
            found = self._find(request)
            arn, status = found["PipelineExecutionArn"], found["PipelineExecutionStatus"]
            if tokens.get(token) == arn:
                return {"PipelineExecutionArn": arn}
            if status not in MOST_RETRIES_IN:  # wording not verified
                raise conflict(f"Pipeline execution {arn} can't be retried in status {status}.")
            tokens[token] = arn
            found["Steps"] = [each for each in found["Steps"] if each["StepStatus"] == "Succeeded"]
            found.pop("FailureReason", None)
            if "ParallelismConfiguration" in request:
                found["ParallelismConfiguration"] = request["ParallelismConfiguration"]
            found |= {"PipelineExecutionStatus": "Executing", "LastModifiedTime": self._cloud.now()}
            self._teller.execution(dict(found), status)
            running.ExecutionRun(self._cloud, found, self._teller).start()
        return {"PipelineExecutionArn": arn}

    def resume(self) -> None:
        """After a restart: executions that were running have failed, as their jobs have."""
        with self._cloud.lock:
            for each in self._executions.values():
                if each["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
                    continue
                now = self._cloud.now()
                ended = {"StepStatus": "Failed", "FailureReason": ENDED_MEANWHILE, "EndTime": now}
                for step in each["Steps"]:
                    step |= {} if step["StepStatus"] in ("Succeeded", "Failed", "Stopped") else ended
                each |= {"PipelineExecutionStatus": "Failed", "FailureReason": ENDED_MEANWHILE, "LastModifiedTime": now}

    def _find(self, request: Mapping[str, Any]) -> Record:
        arn = request["PipelineExecutionArn"]
        if arn not in self._executions:
            raise not_found(f"Pipeline execution with ARN {arn} does not exist.")  # suffix recorded
        found: Record = self._executions[arn]
        return found

    def _record(self, pipeline: Record, request: Mapping[str, Any]) -> Record:
        version = version_of(pipeline, request.get("PipelineVersionId"))
        definition = definitions.parse(version["PipelineDefinition"])
        now = self._cloud.now()
        number = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(ID_LENGTH))
        kept = ("PipelineExecutionDescription", "ParallelismConfiguration", "SelectiveExecutionConfig")
        inherited = {name: pipeline[name] for name in ("ParallelismConfiguration",) if name in pipeline}
        return inherited | {name: request[name] for name in kept if name in request} | {
            "PipelineArn": pipeline["PipelineArn"],
            "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{number}",
            "PipelineExecutionDisplayName": request.get("PipelineExecutionDisplayName", _display(now)),
            "PipelineExecutionStatus": "Executing",
            "PipelineVersionId": version["PipelineVersionId"],
            "RoleArn": request.get("RoleArn", pipeline["RoleArn"]),
            "CreationTime": now,
            "LastModifiedTime": now,
            "CreatedBy": created_by(self._cloud),
            "LastModifiedBy": created_by(self._cloud),
            "Definition": version["PipelineDefinition"],
            "Values": parameters.values(definition.parameters, request.get("PipelineParameters", ())),
            "Steps": [],
        }  # fmt: skip


def _display(now: Any) -> str:
    """`execution-1607462436123`, as AWS names those that have no name."""
    return f"execution-{int(now.timestamp() * 1000)}"


def _renamed(request: Mapping[str, Any]) -> dict[str, Any]:
    """CreatedAfter and CreatedBefore in the names that `page` knows."""
    names = {"CreatedAfter": "CreationTimeAfter", "CreatedBefore": "CreationTimeBefore"}
    return {names.get(name, name): each for name, each in request.items()}


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    reason = {"PipelineExecutionFailureReason": record.get("FailureReason")}
    return {**record, "StartTime": record["CreationTime"], **reason}
