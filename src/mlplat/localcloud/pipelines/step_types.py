"""The types of steps that the local cloud runs: which job or object each makes, and what may be cached of it."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "2020-12-01"


@dataclass(frozen=True)
class Made:
    """A type of step that makes one object in SageMaker."""

    create: str
    describe: str
    name: str
    """The member by which it is named; AWS fills it in."""
    arn: str
    metadata: str
    """What ListPipelineExecutionSteps calls it."""
    store: str
    stop: str = ""
    status: str = ""
    """Empty: it is there as soon as it is made."""
    cached_by: tuple[str, ...] = ()
    """Source: developer guide, "Default cache key attributes by pipeline step type"."""
    longest_name: int = 63
    described_by: str = ""
    """The member that Describe is asked with, where it isn't `name`."""


MAKING: dict[str, Made] = {
    "Processing": Made(
        "CreateProcessingJob", "DescribeProcessingJob", "ProcessingJobName", "ProcessingJobArn", "ProcessingJob",
        "processing_jobs", "StopProcessingJob", "ProcessingJobStatus",
        ("AppSpecification", "Environment", "ProcessingInputs"),
    ),
    "Training": Made(
        "CreateTrainingJob", "DescribeTrainingJob", "TrainingJobName", "TrainingJobArn", "TrainingJob",
        "training_jobs", "StopTrainingJob", "TrainingJobStatus",
        (
            "AlgorithmSpecification", "CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations", "Environment",
            "HyperParameters", "InputDataConfig",
        ),
    ),
    "Tuning": Made(
        "CreateHyperParameterTuningJob", "DescribeHyperParameterTuningJob", "HyperParameterTuningJobName",
        "HyperParameterTuningJobArn", "TuningJob", "tuning_jobs", "StopHyperParameterTuningJob",
        "HyperParameterTuningJobStatus",
        ("HyperParameterTuningJobConfig", "TrainingJobDefinition", "TrainingJobDefinitions"), 32,
    ),
    "Transform": Made(
        "CreateTransformJob", "DescribeTransformJob", "TransformJobName", "TransformJobArn", "TransformJob",
        "transform_jobs", "StopTransformJob", "TransformJobStatus",
        ("DataProcessing", "Environment", "ModelName", "TransformInput"),
    ),
    "Model": Made("CreateModel", "DescribeModel", "ModelName", "ModelArn", "Model", "models"),
    "RegisterModel": Made(
        "CreateModelPackage", "DescribeModelPackage", "ModelPackageName", "ModelPackageArn", "RegisterModel",
        "model_packages", described_by="ModelPackageArn",
    ),
}  # fmt: skip

OTHERS = ("Condition", "Fail", "Lambda")

CACHEABLE = frozenset({"Processing", "Training", "Tuning", "Transform"})
"""Of those that run here. Source: developer guide, "Caching pipeline steps"."""

RETRYABLE = frozenset({"Processing", "Training", "Tuning", "Transform", "Model", "RegisterModel"})
"""Source: developer guide, "Retry Policy for Pipeline Steps"."""

NOT_RUN = (
    "AutoML", "Callback", "ClarifyCheck", "Cleanup", "EMR", "EMRServerless", "Endpoint", "EndpointConfig", "ForEach",
    "InferenceComponent", "Job", "Lineage", "NotebookJob", "QualityCheck",
)  # fmt: skip
"""AWS has them, the local cloud does not."""
