"""Models and endpoint configs: immutable descriptions that endpoints and transform jobs are made from."""

from __future__ import annotations

import struct
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import AwsError, invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page
from mlplat.localcloud.sagemaker.model_checks import check_data, check_variants
from mlplat.localcloud.sagemaker.registry import package_arn
from mlplat.localcloud.sagemaker.roles import check_role

CREATE_MODEL = ("PrimaryContainer", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn", "VpcConfig")

NEWEST_FIRST = {"SortOrder": "Descending"}
"""How these lists are sorted when the request doesn't say (API reference of ListModels, ListEndpointConfigs)."""


class Models:
    """CreateModel and its siblings. A model in use may be deleted: that is AWS's rule, too."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._models = cloud.store("models")

    def create_model(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a model; its role must be assumable and its model packages must exist."""
        name, arn = request["ModelName"], self._cloud.arn(f"model/{request['ModelName']}")
        if not request.get("PrimaryContainer") and not request.get("Containers"):
            raise invalid("One of PrimaryContainer or Containers must be provided.")  # wording not verified
        if request.get("PrimaryContainer") and request.get("Containers"):
            raise invalid("Only one of PrimaryContainer and Containers can be provided.")  # wording not verified
        if name in self._models:
            raise invalid(f'Cannot create already existing model "{arn}".')
        if request.get("ExecutionRoleArn"):
            check_role(self._cloud, request["ExecutionRoleArn"])
        for container in [request.get("PrimaryContainer"), *request.get("Containers", ())]:
            if container:
                check_data(self._cloud, container, request.get("ExecutionRoleArn", ""))
        with self._cloud.lock:
            if name in self._models:
                raise invalid(f'Cannot create already existing model "{arn}".')
            model = {key: request[key] for key in CREATE_MODEL if request.get(key)}
            for container in [model.get("PrimaryContainer"), *model.get("Containers", ())]:
                if container:
                    self._complete(container)
            now = self._cloud.now()
            about = {"ModelName": name, "ModelArn": arn, "CreationTime": now, "LastModifiedTime": now}
            isolated = request.get("EnableNetworkIsolation", False)
            self._models[name] = {**about, "EnableNetworkIsolation": isolated, **model}
            self._cloud.tag(arn, request.get("Tags"))
        return {"ModelArn": arn}

    def describe_model(self, request: dict[str, Any]) -> dict[str, Any]:
        """The model as it was made."""
        return self._model(request["ModelName"])

    def list_models(self, request: dict[str, Any]) -> dict[str, Any]:
        """Models by name and time, newest first unless told otherwise."""
        with self._cloud.lock:
            found, token = page(
                list(self._models.values()), {**NEWEST_FIRST, **request}, Members("ModelName", "ModelName")
            )
        return {"Models": found, "NextToken": token}

    def delete_model(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete the model, in use or not."""
        with self._cloud.lock:
            model = self._model(request["ModelName"])
            del self._models[model["ModelName"]]
            self._cloud.tags.pop(model["ModelArn"], None)
        return {}

    def _model(self, name: str) -> dict[str, Any]:
        model: dict[str, Any] | None = self._models.get(name)
        if model is None:
            raise absent_model(self._cloud, name)
        return model

    def _complete(self, container: dict[str, Any]) -> None:
        """What Describe adds: the mode, and the ARN in place of a package's name."""
        container.setdefault("Mode", "SingleModel")
        package = container.get("ModelPackageName")
        if package is None:
            return
        arn = package_arn(self._cloud, package)
        if arn not in self._cloud.store("model_packages"):
            raise invalid(f"ModelPackage {arn} does not exist.")  # wording not verified
        container["ModelPackageName"] = arn


class EndpointConfigs:
    """CreateEndpointConfig and its siblings. Its models must exist when it is made; later nobody asks."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._configs = cloud.store("endpoint_configs")

    def create_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a config of existing models."""
        name = request["EndpointConfigName"]
        arn = self._cloud.arn(f"endpoint-config/{name}")
        with self._cloud.lock:
            if name in self._configs:
                raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
            config = {key: value for key, value in request.items() if key != "Tags"}
            check_variants(config)
            for key in ("ProductionVariants", "ShadowProductionVariants"):
                if key in config:
                    config[key] = [self._variant(each) for each in config[key]]
            now = self._cloud.now()
            self._configs[name] = {**config, "EndpointConfigArn": arn, "CreationTime": now, "LastModifiedTime": now}
            self._cloud.tag(arn, request.get("Tags"))
        return {"EndpointConfigArn": arn}

    def describe_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        """The config as it was made; weights as the 32-bit numbers that SageMaker keeps."""
        return self._config(request["EndpointConfigName"])

    def list_endpoint_configs(self, request: dict[str, Any]) -> dict[str, Any]:
        """Configs by name and time, newest first unless told otherwise."""
        members = Members("EndpointConfigName", "EndpointConfigName")
        with self._cloud.lock:
            found, token = page(list(self._configs.values()), {**NEWEST_FIRST, **request}, members)
        return {"EndpointConfigs": found, "NextToken": token}

    def delete_endpoint_config(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete the config, in use or not; an endpoint that uses it can't be updated any more."""
        with self._cloud.lock:
            config = self._config(request["EndpointConfigName"])
            del self._configs[config["EndpointConfigName"]]
            self._cloud.tags.pop(config["EndpointConfigArn"], None)
        return {}

    def _config(self, name: str) -> dict[str, Any]:
        config: dict[str, Any] | None = self._configs.get(name)
        if config is None:
            raise invalid(f'Could not find endpoint configuration "{self._cloud.arn(f"endpoint-config/{name}")}".')
        return config

    def _variant(self, variant: dict[str, Any]) -> dict[str, Any]:
        if variant.get("ModelName") and variant["ModelName"] not in self._cloud.store("models"):
            raise absent_model(self._cloud, variant["ModelName"])
        return {**variant, "InitialVariantWeight": float32(variant.get("InitialVariantWeight", 1.0))}


def absent_model(cloud: Cloud, name: str) -> AwsError:
    """What SageMaker says of a model that isn't there."""
    return invalid(f'Could not find model "{cloud.arn(f"model/{name}")}".')


def float32(weight: float) -> float:
    """A weight as SageMaker keeps and answers it: 0.2 reads back as 0.20000000298023224."""
    kept: float = struct.unpack("f", struct.pack("f", weight))[0]
    return kept
