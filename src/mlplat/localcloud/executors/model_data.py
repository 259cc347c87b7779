"""What a model is made of, on its way into a container: artifacts to `/opt/ml/model`, code to `/opt/ml/code`."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.s3_data import DataError, download, sources, unpack

HOSTNAME = "container_1"
"""How SageMaker calls a container that has no ContainerHostname."""


class ModelDataError(Exception):
    """The model's data can't be had or unpacked; the text is the endpoint's FailureReason."""


@dataclass(frozen=True)
class Container:
    """One container of a model, with what its model package says filled in."""

    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    data_url: str | None = None
    prefix: bool = False
    """`data_url` is a prefix whose objects are the model's files, rather than one object."""
    packed: bool = True
    """The object is a tar.gz archive."""
    role: str = ""
    """The model's execution role."""

    @classmethod
    def of(cls, cloud: Cloud, model_name: str) -> Container:
        """The primary container of a model. Raises KeyError when the model or its package isn't there."""
        model = cloud.store("models")[model_name]
        given: dict[str, Any] = model.get("PrimaryContainer") or model["Containers"][0]
        if "ModelPackageName" in given:
            package = cloud.store("model_packages")[given["ModelPackageName"]]
            packaged = package["InferenceSpecification"]["Containers"][0]
            environment = {**packaged.get("Environment", {}), **given.get("Environment", {})}
            given = {**packaged, "Environment": environment}
        source: dict[str, Any] = (given.get("ModelDataSource") or {}).get("S3DataSource") or {}
        return cls(
            image=given.get("Image", ""),
            environment=given.get("Environment") or {},
            data_url=source.get("S3Uri", given.get("ModelDataUrl")),
            prefix=source.get("S3DataType") == "S3Prefix",
            packed=source.get("CompressionType", "Gzip") == "Gzip",
            role=model.get("ExecutionRoleArn", ""),
        )

    def place(self, cloud: Cloud, base: Path) -> None:
        """Put the model under `base` as the container finds it under /opt/ml. Raises ModelDataError."""
        s3, model = cloud.aws("s3"), base / "model"
        model.mkdir(parents=True, exist_ok=True)
        if self.data_url:
            _fetch(s3, self, self.data_url, model)
        submitted = self.environment.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
        if submitted.startswith("s3://"):
            (base / "code").mkdir(exist_ok=True)
            _unpack(s3, submitted, base / "code")


def _fetch(s3: Any, container: Container, url: str, folder: Path) -> None:
    if container.packed and not container.prefix:
        _unpack(s3, url, folder)
        return
    kind = "S3Prefix" if container.prefix else "S3Object"
    try:
        download(s3, sources(s3, {"S3Uri": url, "S3DataType": kind}), folder)
    except DataError as error:
        raise _not_there(url) from error


def _unpack(s3: Any, url: str, folder: Path) -> None:
    try:
        unpack(s3, url, folder)
    except DataError as error:
        if isinstance(error.__cause__, tarfile.TarError | OSError | EOFError):
            raise _not_an_archive(url) from error
        raise _not_there(url) from error


def _not_an_archive(url: str) -> ModelDataError:
    return ModelDataError(
        f'Failed to extract model data archive for container "{HOSTNAME}" from URL: "{url}". '
        "Please ensure that the object located at the URL is a valid tar.gz archive."
    )


def _not_there(url: str) -> ModelDataError:
    return ModelDataError(
        f'Failed to download model data for container "{HOSTNAME}" from URL: "{url}". Please ensure that there is an '
        "object located at the URL and that the role passed to CreateModel has permissions to download the object."
    )
