"""Selective execution: some steps run, what they need of others is taken from an earlier execution.

Developer guide, "Selective execution of pipeline steps"; the wording of refusals is not verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.pipelines.definitions import Definition
from mlplat.localcloud.sagemaker.errors import invalid, not_found

Record = dict[str, Any]

ENDED = frozenset({"Succeeded", "Failed"})
"""Statuses of an execution that others may refer to."""


@dataclass(frozen=True)
class Selection:
    """The steps that run, all when `names` is None, and the records of those that have succeeded before."""

    names: frozenset[str] | None = None
    earlier: Mapping[str, Record] = field(default_factory=dict)

    def runs(self, name: str) -> bool:
        """Whether a step is selected."""
        return self.names is None or name in self.names


def of(cloud: Cloud, execution: Mapping[str, Any], definition: Definition) -> Selection:
    """The selection of an execution. Raises AwsError when it can't be run so. Hold the cloud's lock."""
    config = execution.get("SelectiveExecutionConfig")
    if config is None:
        return Selection()
    names = frozenset(each["StepName"] for each in config["SelectedSteps"])
    if unknown := sorted(names - definition.steps.keys()):
        raise invalid(f"Selected steps {unknown} are not defined in the pipeline.")
    succeeded = _succeeded(cloud, execution, config.get("SourcePipelineExecutionArn"))
    earlier = {name: each for name, each in succeeded.items() if name not in names}  # what is selected runs again
    for name in sorted(names):
        if missing := sorted(definition.steps[name].after - names - earlier.keys()):
            raise invalid(f"Selected step {name} needs {missing}, which have not succeeded in the source execution.")
    return Selection(names, earlier)


def _succeeded(cloud: Cloud, execution: Mapping[str, Any], arn: str | None) -> dict[str, Record]:
    if arn is None:
        return {}
    source = cloud.store("pipeline_executions").get(arn)
    if source is None or source["PipelineArn"] != execution["PipelineArn"]:
        raise not_found(f"Pipeline execution with ARN {arn} does not exist.")
    if source["PipelineExecutionStatus"] not in ENDED:
        raise invalid(f"The source execution {arn} must have Succeeded or Failed.")
    return {each["StepName"]: each for each in source["Steps"] if each["StepStatus"] == "Succeeded"}
