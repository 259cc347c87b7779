"""Mapping between a method and its integration: parameters, bodies, and the choice of a response.

API Gateway developer guide, "Parameter mapping", "Integration passthrough behaviors", "Set up an integration response".
Of mapping templates only those that pass the body on are understood: Velocity's language is not.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud.gateway.refusals import Refusal, misconfigured

log = logging.getLogger(__name__)

PASSING = frozenset({"", "$input.body", "$input.json('$')", '$input.json("$")'})
JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """What a method was asked; header names in lower case."""

    method: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path: Mapping[str, str]
    body: bytes

    def value(self, source: str) -> str | None:
        """What `method.request.header.Accept`, `'text'` and such stand for."""
        if source.startswith("'"):
            return source.strip("'")
        place = source.removeprefix("method.request.")
        kind, _, name = place.partition(".")
        if kind == "body":
            return self.body.decode(errors="replace") if not name else _of_json(self.body, name)
        found = {"header": self.headers, "querystring": self.query, "path": self.path}.get(kind)
        if found is None:
            log.warning("API Gateway: the local cloud can't map %s", source)
            raise misconfigured()
        return found.get(name.lower() if kind == "header" else name)


@dataclass(frozen=True)
class Answer:
    """What an integration answered; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def check_required(method: Any, request: Request) -> None:
    """Required parameters, where a validator looks for them."""
    wanted = [name for name, required in (method.request_parameters or {}).items() if required in (True, "true")]
    missing = [name for name in wanted if not request.value(name)]
    if missing:
        names = ", ".join(each.rpartition(".")[2] for each in missing)
        raise Refusal(400, f"Missing required request parameters: [{names}]", "BadRequestException")


def sent(integration: Any, request: Request) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of the request to the service. `uri`: `arn:...:path/endpoints/{name}/invocations`."""
    path, headers = str(integration.uri).partition(":path/")[2], {"Content-Type": _content_type(request)}
    for target, source in (integration.request_parameters or {}).items():
        value, (kind, name) = request.value(source), target.removeprefix("integration.request.").split(".", 1)
        if value is None:
            continue
        if kind == "header":
            headers[name] = value
        elif kind == "path":
            path = path.replace(f"{{{name}}}", value)
    return f"/{path}", headers, _body(integration, request)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", JSON)


def _body(integration: Any, request: Request) -> bytes:
    """Passed on unless a template is for its content type, or the behaviour forbids it."""
    templates, behaviour = integration.request_templates or {}, integration.passthrough_behaviour or "WHEN_NO_MATCH"
    kind = _content_type(request).partition(";")[0].strip().lower()
    if kind in templates:
        _check_template(templates[kind])
    elif behaviour == "NEVER" or (behaviour == "WHEN_NO_TEMPLATES" and templates):
        raise Refusal(415, "Unsupported Media Type", "UnsupportedMediaTypeException")
    return request.body


def chosen(integration: Any, status: int) -> Any:
    """The integration response whose pattern matches the service's status; the one without a pattern is the default."""
    responses = list((integration.integration_responses or {}).values())
    for each in responses:
        if each.selection_pattern and re.fullmatch(each.selection_pattern, str(status)):
            return each
    default = next((each for each in responses if not each.selection_pattern), None)
    if default is None:
        log.warning("API Gateway: no match for output mapping and no default output mapping configured")
        raise misconfigured()
    return default


def told(response: Any, answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the method's response. Headers that aren't mapped don't get through."""
    headers = {"Content-Type": JSON}
    for target, source in (response.response_parameters or {}).items():
        name = target.removeprefix("method.response.header.")
        value = source.strip("'") if source.startswith("'") else _from(answer, source)
        if value is not None:
            headers = {key: each for key, each in headers.items() if key.lower() != name.lower()} | {name: value}
    for template in (response.response_templates or {}).values():
        _check_template(template)
    return int(response.status_code), headers, answer.body


def _from(answer: Answer, source: str) -> str | None:
    kind, _, name = source.removeprefix("integration.response.").partition(".")
    if kind == "header":
        return answer.headers.get(name.lower())
    return _of_json(answer.body, name) if kind == "body" else None


def _of_json(body: bytes, path: str) -> str | None:
    """A member of a JSON object by its path."""
    try:
        value = json.loads(body)
        for name in path.split("."):
            value = value[name]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _check_template(template: str | None) -> None:
    if (template or "").strip() not in PASSING:
        log.warning("API Gateway: the local cloud reads no mapping template but those that pass the body on")
        raise misconfigured()
