"""SageMaker Pipelines: definitions that are read as AWS reads them, and executions that really run their steps."""

from __future__ import annotations

from mlplat.localcloud.pipelines.executions import PipelineExecutions
from mlplat.localcloud.pipelines.pipelines import Pipelines

__all__ = ["PipelineExecutions", "Pipelines"]
