"""SageMaker's operations that the local cloud answers itself; what is not here falls to moto."""

from __future__ import annotations

from mlplat.localcloud.sagemaker.endpoints import Endpoints
from mlplat.localcloud.sagemaker.feature_groups import FeatureGroups
from mlplat.localcloud.sagemaker.feature_metadata import FeatureMetadata
from mlplat.localcloud.sagemaker.models import EndpointConfigs, Models
from mlplat.localcloud.sagemaker.notebook_configs import NotebookInstanceLifecycleConfigs
from mlplat.localcloud.sagemaker.notebooks import NotebookInstances
from mlplat.localcloud.sagemaker.processing_jobs import ProcessingJobs
from mlplat.localcloud.sagemaker.record_metrics import MeteredFeatureStoreRuntime
from mlplat.localcloud.sagemaker.registry import ModelPackageGroups, ModelPackages
from mlplat.localcloud.sagemaker.registry_policies import ModelPackageGroupPolicies
from mlplat.localcloud.sagemaker.runtime import SageMakerRuntime
from mlplat.localcloud.sagemaker.search import Search
from mlplat.localcloud.sagemaker.tags import Tags
from mlplat.localcloud.sagemaker.training_jobs import TrainingJobs
from mlplat.localcloud.sagemaker.transform_jobs import TransformJobs
from mlplat.localcloud.sagemaker.tuning_jobs import TuningJobs

FAMILIES: tuple[type, ...] = (
    Models,
    EndpointConfigs,
    Endpoints,
    SageMakerRuntime,
    FeatureGroups,
    FeatureMetadata,
    ModelPackageGroups,
    ModelPackages,
    ModelPackageGroupPolicies,
    Tags,
    MeteredFeatureStoreRuntime,
    TrainingJobs,
    TuningJobs,
    ProcessingJobs,
    TransformJobs,
    NotebookInstances,
    NotebookInstanceLifecycleConfigs,
    Search,
)
"""Classes whose public methods are operations in boto3's names: `(request: dict) -> dict`, in the wire's names.

A family is made once per region with its `Cloud`. It answers for the service in its class attribute `service`
(botocore's name; `sagemaker` when it has none). An object that isn't its own: raise `NotMine`, and moto answers.
"""
