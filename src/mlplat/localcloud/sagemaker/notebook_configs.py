"""Lifecycle configurations of notebook instances: what moto lacks beside making, describing and deleting them."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.sagemaker.errors import invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page

NAME = "NotebookInstanceLifecycleConfigName"


class NotebookInstanceLifecycleConfigs:
    """ListNotebookInstanceLifecycleConfigs and UpdateNotebookInstanceLifecycleConfig, on moto's own."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def list_notebook_instance_lifecycle_configs(self, request: dict[str, Any]) -> dict[str, Any]:
        """By name and time; the newest first unless told otherwise."""
        asked = {"SortBy": "CreationTime", "SortOrder": "Descending", **request}
        found = [
            {
                NAME: name,
                "NotebookInstanceLifecycleConfigArn": each.arn,
                "CreationTime": self._time(each.creation_time),
                "LastModifiedTime": self._time(each.last_modified_time),
            }
            for name, each in list(self._configs().items())
        ]
        chosen, token = page(found, asked, Members(NAME, NAME))
        return {"NotebookInstanceLifecycleConfigs": chosen, "NextToken": token}

    def update_notebook_instance_lifecycle_config(self, request: dict[str, Any]) -> None:
        """Other scripts; a list that isn't given stays."""
        found = self._configs().get(request[NAME])
        if found is None:  # wording as moto's of the description
            raise invalid(f"Unable to describe Notebook Instance Lifecycle Config '{request[NAME]}'.")
        found.on_create = request.get("OnCreate", found.on_create)
        found.on_start = request.get("OnStart", found.on_start)
        found.last_modified_time = self._cloud.now().replace(tzinfo=None)

    def _configs(self) -> dict[str, Any]:
        from moto.sagemaker.models import sagemaker_backends

        backend = sagemaker_backends[self._cloud.account][self._cloud.region]
        configs: dict[str, Any] = backend.notebook_instance_lifecycle_configurations
        return configs

    def _time(self, time: Any) -> Any:
        """moto's times are UTC and don't say so."""
        return time.replace(tzinfo=self._cloud.now().tzinfo)
