"""Notebook instances: what they are made of and their statuses, in AWS's order. No notebook runs here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.sagemaker import instances
from mlplat.localcloud.sagemaker.errors import invalid
from mlplat.localcloud.sagemaker.job_lists import Members, page
from mlplat.localcloud.sagemaker.roles import check_role

MEMBERS = Members("NotebookInstanceName", "NotebookInstanceStatus")
IDLE = ("Stopped", "Failed")

DEFAULTS = {
    "DirectInternetAccess": "Enabled",
    "IpAddressType": "ipv4",
    "PlatformIdentifier": "notebook-al2023-v1",
    "RootAccess": "Enabled",
    "VolumeSizeInGB": 5,
    "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "1"},
}
"""API reference of CreateNotebookInstance."""

RENAMED = {"SecurityGroupIds": "SecurityGroups", "LifecycleConfigName": "NotebookInstanceLifecycleConfigName"}
"""Members that Describe calls otherwise than Create and Update do."""

TAKEN_OFF = {
    "DisassociateLifecycleConfig": "NotebookInstanceLifecycleConfigName",
    "DisassociateAcceleratorTypes": "AcceleratorTypes",
    "DisassociateDefaultCodeRepository": "DefaultCodeRepository",
    "DisassociateAdditionalCodeRepositories": "AdditionalCodeRepositories",
}
"""What an update can remove."""

ARRIVES = {"Pending": "InService", "Stopping": "Stopped", "Updating": "Stopped"}


class NotebookInstances:
    """CreateNotebookInstance and its siblings.

    Pending, InService; Stopping, Stopped; Updating and Deleting from Stopped or Failed only (API reference of
    UpdateNotebookInstance and DeleteNotebookInstance). Lifecycle configurations are moto's.
    """

    recorded_only = True

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._notebooks = cloud.store("notebook_instances")

    def create_notebook_instance(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make one; it is started, too."""
        name = request["NotebookInstanceName"]
        arn = self._cloud.arn(f"notebook-instance/{name}")
        if request.get("DirectInternetAccess") == "Disabled" and not request.get("SubnetId"):
            raise invalid("DirectInternetAccess can be disabled only with a SubnetId.")  # wording not verified
        self._check_configuration(request)
        check_role(self._cloud, request["RoleArn"])
        with self._cloud.lock:
            if name in self._notebooks:
                raise invalid(f"Cannot create a duplicate Notebook Instance ({arn})")  # wording not verified
            instances.check(self._cloud, "notebook instance", [(request["InstanceType"], 1)])
            now = self._cloud.now()
            notebook = {**DEFAULTS, **_renamed(request), "NotebookInstanceArn": arn}
            notebook |= {"Url": f"{name}.notebook.{self._cloud.region}.sagemaker.aws"}
            notebook |= {"CreationTime": now, "LastModifiedTime": now, "NotebookInstanceStatus": "Pending"}
            self._notebooks[name] = notebook
            self._cloud.tag(arn, request.get("Tags"))
        self._cloud.later(partial(self._arrive, notebook))
        return {"NotebookInstanceArn": arn}

    def describe_notebook_instance(self, request: dict[str, Any]) -> dict[str, Any]:
        """The notebook instance as it is now."""
        with self._cloud.lock:
            return dict(self._notebook(request))

    def list_notebook_instances(self, request: dict[str, Any]) -> dict[str, Any]:
        """Notebook instances by name, unless told otherwise, and status and time."""
        config = request.get("NotebookInstanceLifecycleConfigNameContains")
        with self._cloud.lock:
            chosen = [
                each
                for each in self._notebooks.values()
                if config is None or config in each.get("NotebookInstanceLifecycleConfigName", "")
            ]
            found, token = page(chosen, request, MEMBERS, sort_by="Name")
        return {"NotebookInstances": found, "NextToken": token}

    def start_notebook_instance(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start one that is Stopped or Failed."""
        return self._change(request, IDLE, "Pending")

    def stop_notebook_instance(self, request: dict[str, Any]) -> dict[str, Any]:
        """Stop one that is InService."""
        return self._change(request, ("InService",), "Stopping")

    def update_notebook_instance(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change one that is Stopped or Failed."""
        self._check_configuration(request)
        if "RoleArn" in request:
            check_role(self._cloud, request["RoleArn"])

        def update(notebook: dict[str, Any]) -> None:
            if request.get("VolumeSizeInGB", notebook["VolumeSizeInGB"]) < notebook["VolumeSizeInGB"]:
                raise invalid("The volume of a notebook instance can't be made smaller.")  # wording not verified
            for flag, member in TAKEN_OFF.items():
                if request.get(flag):
                    notebook.pop(member, None)
            notebook |= _renamed(request)

        return self._change(request, IDLE, "Updating", update)

    def delete_notebook_instance(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete one that is Stopped or Failed."""
        return self._change(request, IDLE, "Deleting")

    def resume(self) -> None:
        """After a restart: what was on its way arrives."""
        with self._cloud.lock:
            notebooks = list(self._notebooks.values())
        for notebook in notebooks:
            if notebook["NotebookInstanceStatus"] in (*ARRIVES, "Deleting"):
                self._cloud.later(partial(self._arrive, notebook))

    def _change(
        self,
        request: dict[str, Any],
        allowed: tuple[str, ...],
        status: str,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        with self._cloud.lock:
            notebook = self._notebook(request)
            now = notebook["NotebookInstanceStatus"]
            if now not in allowed:
                raise invalid(
                    f"Status ({now}) not in ([{', '.join(allowed)}]). Unable to transition to ({status}) for Notebook "
                    f"Instance ({notebook['NotebookInstanceArn']})."
                )
            if change is not None:
                change(notebook)
            notebook |= {"NotebookInstanceStatus": status, "LastModifiedTime": self._cloud.now()}
        self._cloud.later(partial(self._arrive, notebook))
        return {}

    def _arrive(self, notebook: dict[str, Any]) -> None:
        with self._cloud.lock:
            status = notebook["NotebookInstanceStatus"]
            if status == "Deleting":
                self._notebooks.pop(notebook["NotebookInstanceName"], None)
                self._cloud.tags.pop(notebook["NotebookInstanceArn"], None)
            elif status in ARRIVES:
                notebook |= {"NotebookInstanceStatus": ARRIVES[status], "LastModifiedTime": self._cloud.now()}

    def _notebook(self, request: dict[str, Any]) -> dict[str, Any]:
        notebook: dict[str, Any] | None = self._notebooks.get(request["NotebookInstanceName"])
        if notebook is None:
            raise invalid("RecordNotFound")
        return notebook

    def _check_configuration(self, request: dict[str, Any]) -> None:
        name = request.get("LifecycleConfigName")
        if name is None:
            return
        sagemaker = self._cloud.aws("sagemaker")
        try:
            sagemaker.describe_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)
        except sagemaker.exceptions.ClientError as error:
            text = f"Unable to describe Notebook Instance Lifecycle Config '{name}'."  # wording not verified
            raise AwsError("ValidationException", text) from error


def _renamed(request: dict[str, Any]) -> dict[str, Any]:
    """The members as Describe calls them."""
    kept = {key: value for key, value in request.items() if key != "Tags" and key not in TAKEN_OFF}
    return {RENAMED.get(key, key): value for key, value in kept.items()}
