"""Work groups: moto's, with the updates that it lacks and the refusals of AWS.

Messages: recorded by Terraform's, CloudFormation's and drivers' users ("WorkGroup is not found", "already exists",
"is not empty").
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.errors import AwsError

PRIMARY = "primary"


def invalid(message: str) -> AwsError:
    """InvalidRequestException, Athena's one error for what the caller did wrong."""
    return AwsError("InvalidRequestException", message)


class WorkGroups:
    """The operations on work groups of one region."""

    service = "athena"

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def create_work_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """A new one, enabled."""
        name = request["Name"]
        with self._cloud.lock:
            if name in self._groups:
                raise invalid("WorkGroup is already created")  # the wording is not verified
            configuration = copy.deepcopy(request.get("Configuration") or {})
            made = self._backend.create_work_group(
                name, configuration, request.get("Description", ""), request.get("Tags") or []
            )
            made.created = self._cloud.now()
        return {}

    def get_work_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Its configuration and state."""
        with self._cloud.lock:
            group = self.find(request["WorkGroup"])
            return {
                "WorkGroup": {
                    "Name": group.name,
                    "State": group.state,
                    "Configuration": copy.deepcopy(group.configuration),
                    "Description": group.description,
                    "CreationTime": getattr(group, "created", self._cloud.now()),
                }
            }

    def update_work_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Change what is named; `Remove...` takes a part away (API reference, WorkGroupConfigurationUpdates)."""
        with self._cloud.lock:
            group = self.find(request["WorkGroup"])
            group.description = request.get("Description", group.description)
            group.state = request.get("State", group.state)
            updates = dict(request.get("ConfigurationUpdates") or {})
            result = updates.pop("ResultConfigurationUpdates", None)
            _change(group.configuration, updates)
            if result is not None:
                _change(group.configuration.setdefault("ResultConfiguration", {}), result)
        return {}

    def delete_work_group(self, request: dict[str, Any]) -> dict[str, Any]:
        """Delete it; with named queries or a history in it only when asked to be recursive."""
        name = request["WorkGroup"]
        if name == PRIMARY:
            raise invalid("The primary workgroup cannot be deleted")  # the wording is not verified
        with self._cloud.lock:
            self.find(name)
            queries = self._cloud.store("query_executions")
            inside = [id for id, each in queries.items() if each["WorkGroup"] == name]
            if inside and not request.get("RecursiveDeleteOption"):
                raise invalid(f"WorkGroup {name} is not empty")
            for id in inside:
                del queries[id]
            self._backend.delete_work_group(name)
        return {}

    def find(self, name: str) -> Any:
        """moto's object. Raises InvalidRequestException."""
        if name not in self._groups:
            raise invalid(f"WorkGroup {name} is not found.")
        return self._groups[name]

    @property
    def _backend(self) -> Any:
        from moto.athena.models import athena_backends

        return athena_backends[self._cloud.account][self._cloud.region]

    @property
    def _groups(self) -> dict[str, Any]:
        groups: dict[str, Any] = self._backend.work_groups
        return groups


def _change(there: dict[str, Any], updates: Mapping[str, Any]) -> None:
    for key, value in updates.items():
        if not key.startswith("Remove"):
            there[key] = copy.deepcopy(value)
        elif value:
            there.pop(key.removeprefix("Remove"), None)
