"""API Gateway's conflicts: names and methods that are there already, and two variables in one place."""

from __future__ import annotations

from typing import Any

from mlplat.localcloud.errors import AwsError
from mlplat.localcloud.rules import Asked, before


@before("apigateway", "CreateResource")
def siblings_have_names_of_their_own(asked: Asked) -> None:
    """API reference of CreateResource; recorded texts."""
    part, api = asked.request["pathPart"], _api(asked)
    siblings = [] if api is None else [r for r in api.resources.values() if r.parent_id == asked.request["parentId"]]
    names = [each.path_part for each in siblings]
    if part in names:
        raise _conflict(f"Another resource with the same parent already has this name: {part}")
    variable = next((name for name in names if name.startswith("{")), None)
    if variable and part.startswith("{"):
        text = f"A sibling ({variable}) of this resource already has a variable path part -- only one is allowed"
        raise AwsError("BadRequestException", text)


@before("apigateway", "PutMethod")
def a_method_is_put_once(asked: Asked) -> None:
    """API reference of PutMethod; recorded text."""
    api = _api(asked)
    resource = None if api is None else api.resources.get(asked.request["resourceId"])
    if resource is not None and asked.request["httpMethod"] in resource.resource_methods:
        raise _conflict("Method already exists for this resource")


@before("apigateway", "CreateModel")
def a_model_has_a_name_of_its_own(asked: Asked) -> None:
    """API reference of CreateModel; recorded text."""
    api = _api(asked)
    if api is not None and any(each.name == asked.request["name"] for each in api.models.values()):
        raise _conflict("Model name already exists for this REST API")


def _api(asked: Asked) -> Any:
    return asked.backend().apis.get(asked.request["restApiId"])


def _conflict(message: str) -> AwsError:
    return AwsError("ConflictException", message, 409)
