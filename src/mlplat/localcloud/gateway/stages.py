"""Stages: what was deployed to one, and which of its methods a request is for.

A deployment is a snapshot: what is changed in an API later counts once it is deployed again (API Gateway developer
guide, "Deploy REST APIs").
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mlplat.localcloud.cloud import ACCOUNT, Cloud
from mlplat.localcloud.families import Clouds
from mlplat.localcloud.rules import Asked, after
from mlplat.localcloud.wire import Reply

BY_PATH = re.compile(r"/restapis/(?P<api>[^/]+)/(?P<stage>[^/]+)/_user_request_(?P<path>/.*)?$")
BY_HOST = re.compile(r"(?P<api>[^.]+)\.execute-api\.[^/]*localhost(:\d+)?$")
ANY = "ANY"


@after("apigateway", "CreateDeployment")
def a_deployment_is_a_snapshot(asked: Asked, reply: Reply) -> None:
    """Kept with moto's deployment, which has none."""
    api = asked.backend().apis[asked.request["restApiId"]]
    api.deployments[json.loads(reply.body)["id"]].resources = copy.deepcopy(api.resources)


@dataclass(frozen=True)
class Stage:
    """A stage of an API, and the path that is asked for in it."""

    cloud: Cloud
    api: Any
    name: str
    path: str

    @property
    def settings(self) -> Any:
        """moto's stage."""
        return self.api.stages[self.name]

    def method(self, http_method: str) -> Target | None:
        """The deployed method for the path: fixed parts before variables, the method itself before ANY."""
        deployed = self.api.deployments.get(self.settings.deployment_id)
        resources: Mapping[str, Any] = getattr(deployed, "resources", None) or self.api.resources
        root = next((each for each in resources.values() if each.parent_id is None), None)
        parts = [unquote(each) for each in self.path.split("/") if each]
        for resource, variables, where in _below(resources, root, parts, {}, "") if root is not None else ():
            methods = resource.resource_methods
            name = next((each for each in (http_method, ANY) if each in methods), None)
            if name is not None:
                return Target(methods[name], variables, where or "/")
        return None

    def arn(self, http_method: str) -> str:
        """Of the request, as policies name it."""
        return self.cloud.arn(f"{self.api.id}/{self.name}/{http_method}{self.path}", "execute-api")


@dataclass(frozen=True)
class Target:
    """A method, the values of the variables in its path, and its resource's path."""

    method: Any
    variables: Mapping[str, str]
    resource: str


def find(clouds: Clouds, environ: Mapping[str, Any]) -> Stage | None:
    """The stage that a request is for; None when it is for no API, or none that is there."""
    from moto.apigateway.models import apigateway_backends

    host = BY_HOST.match(environ.get("HTTP_HOST", ""))
    path = environ.get("PATH_INFO", "/")
    if host:
        stage, _, rest = path.lstrip("/").partition("/")
        named = (host["api"], stage, f"/{rest}")
    elif found := BY_PATH.match(path):
        named = (found["api"], found["stage"], found["path"] or "/")
    else:
        return None
    for region, backend in list(apigateway_backends[ACCOUNT].items()):
        api = backend.apis.get(named[0])
        if api is not None and named[1] in api.stages:
            return Stage(clouds.cloud(region), api, named[1], named[2])
    return None


def is_for_an_api(environ: Mapping[str, Any]) -> bool:
    """Whether the address is one of an API's, there or not."""
    return bool(BY_PATH.match(environ.get("PATH_INFO", "")) or BY_HOST.match(environ.get("HTTP_HOST", "")))


def _below(
    resources: Mapping[str, Any], at: Any, parts: list[str], variables: Mapping[str, str], where: str
) -> Iterator[tuple[Any, Mapping[str, str], str]]:
    """Resources that match the parts, the most exact first."""
    if not parts:
        yield at, variables, where
        return
    children = [each for each in resources.values() if each.parent_id == at.id]
    for child in sorted(children, key=lambda each: (each.path_part.startswith("{"), each.path_part.endswith("+}"))):
        part, path = child.path_part, f"{where}/{child.path_part}"
        if part.endswith("+}"):
            yield child, {**variables, part[1:-2]: "/".join(parts)}, path
        elif part.startswith("{"):
            yield from _below(resources, child, parts[1:], {**variables, part[1:-1]: parts[0]}, path)
        elif part == parts[0]:
            yield from _below(resources, child, parts[1:], variables, path)
