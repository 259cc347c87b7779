"""What the world is told of executions and steps: events on the default bus, and metrics.

Sources: developer guide, "Events that Amazon SageMaker AI sends to Amazon EventBridge" and "Amazon SageMaker AI
metrics in Amazon CloudWatch", section "SageMaker pipelines metrics".
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.eventbridge import bus

log = logging.getLogger(__name__)

NAMESPACE = "AWS/Sagemaker/ModelBuildingPipeline"
EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
STEP = "SageMaker Model Building Pipeline Execution Step Status Change"
ENDS = frozenset({"Succeeded", "Failed", "Stopped"})

Record = Mapping[str, Any]


class Teller:
    """Tells of one region's pipelines, in the order in which things happened."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._queue = ThreadPoolExecutor(1, "pipelines")

    def execution(self, record: Record, previous: str | None) -> None:
        """An execution has another status."""
        status, pipeline = record["PipelineExecutionStatus"], record["PipelineArn"]
        detail = {
            "pipelineExecutionDisplayName": record.get("PipelineExecutionDisplayName"),
            "currentPipelineExecutionStatus": status,
            "previousPipelineExecutionStatus": previous,
            "executionStartTime": bus.stamp(record["CreationTime"]),
            "executionEndTime": bus.stamp(record["LastModifiedTime"]) if status in ENDS else None,
            "pipelineExecutionDescription": record.get("PipelineExecutionDescription"),
        }
        dimensions = [[], [_dimension("PipelineName", _name(pipeline))]]
        took = (record["LastModifiedTime"] - record["CreationTime"]).total_seconds()
        self._tell(EXECUTION, record, detail, _metrics("Execution", status, previous, took), dimensions)

    def step(self, record: Record, step: Record, previous: str | None) -> None:
        """A step of an execution has another status."""
        status, end = step["StepStatus"], step.get("EndTime")
        detail = {
            "metadata": _lower(step.get("Metadata") or {}),
            "stepStartTime": bus.stamp(step["StartTime"]),
            "stepEndTime": bus.stamp(end) if end else None,
            "stepName": step["StepName"],
            "stepType": step["StepType"],
            "previousStepStatus": previous,
            "currentStepStatus": status,
            "failureReason": step.get("FailureReason"),
            "cacheHitResult": _lower(step["CacheHitResult"]) if "CacheHitResult" in step else None,
        }
        name = _dimension("PipelineName", _name(record["PipelineArn"]))
        took = (end - step["StartTime"]).total_seconds() if end else 0.0
        metrics = _metrics("Step", status, previous, took)
        self._tell(STEP, record, detail, metrics, [[name, _dimension("StepName", step["StepName"])]])

    def _tell(
        self, about: str, record: Record, detail: Record, metrics: list[Record], dimensions: list[list[Record]]
    ) -> None:
        arns = [record["PipelineArn"], record["PipelineExecutionArn"]]
        known = {name: each for name, each in detail.items() if each is not None}
        known |= {"pipelineArn": arns[0], "pipelineExecutionArn": arns[1]}
        data = [{**each, "Dimensions": one} for each in metrics for one in dimensions]
        self._queue.submit(self._send, about, arns, known, data)

    def _send(self, about: str, arns: list[str], detail: Record, data: Sequence[Record]) -> None:
        try:
            if "moto.events.models" in sys.modules:  # else nobody can have made a rule
                bus.put(self._cloud, "aws.sagemaker", about, arns, detail)
            if data:
                self._cloud.aws("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=data)
        except Exception:
            if not self._cloud.closed:
                log.exception("telling of %s", arns[-1])


def _metrics(of: str, status: str, previous: str | None, took: float) -> list[Record]:
    """`ExecutionStarted` at the beginning; at the end what it came to, and how long it took."""
    if previous is None:
        return [{"MetricName": f"{of}Started", "Value": 1.0, "Unit": "Count"}]
    if status not in ENDS:
        return []
    duration = {"MetricName": f"{of}Duration", "Value": took * 1000, "Unit": "Milliseconds"}
    return [{"MetricName": f"{of}{status}", "Value": 1.0, "Unit": "Count"}, duration]


def _name(pipeline: str) -> str:
    return pipeline.rpartition("/")[2]


def _dimension(name: str, value: str) -> Record:
    return {"Name": name, "Value": value}


def _lower(value: Any) -> Any:
    """Members as events write them: `processingJob`, `arn`."""
    if isinstance(value, Mapping):
        return {re.sub(r"^[A-Z]", lambda found: found[0].lower(), name): _lower(each) for name, each in value.items()}
    return [_lower(each) for each in value] if isinstance(value, list) else value
