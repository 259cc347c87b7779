"""What a step was run with, and earlier runs with the same. Source: developer guide, "Caching pipeline steps"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.pipelines import durations
from mlplat.localcloud.pipelines.definitions import Step
from mlplat.localcloud.pipelines.step_types import MAKING

Record = dict[str, Any]


def signature(step: Step, arguments: Mapping[str, Any]) -> str:
    """A digest of the arguments that matter for the type of step."""
    made = MAKING[step.type]
    relevant = {name: arguments.get(name) for name in made.cached_by}
    text = json.dumps([step.name, step.type, relevant], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def is_on(step: Step) -> bool:
    """Whether the definition wants the step's results kept."""
    return bool((step.document.get("CacheConfig") or {}).get("Enabled"))


def find(cloud: Cloud, pipeline: str, step: Step, wanted: str, now: datetime) -> tuple[Record, Record] | None:
    """The newest execution of the pipeline (by ARN) with such a step, and its record of the step.

    Only where the step and the whole execution have succeeded, and not longer ago than ExpireAfter.
    """
    lasts = timedelta(seconds=durations.seconds(step.document["CacheConfig"]["ExpireAfter"]) or 0)
    with cloud.lock:
        executions = [each for each in cloud.store("pipeline_executions").values() if each["PipelineArn"] == pipeline]
        for execution in reversed(executions):
            if execution["PipelineExecutionStatus"] != "Succeeded":
                continue
            for record in execution["Steps"]:
                if record.get("Signature") == wanted and "CacheHitResult" not in record:
                    return (execution, dict(record)) if now - record["Clock"] <= lasts else None
    return None
