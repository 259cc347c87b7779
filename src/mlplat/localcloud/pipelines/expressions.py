"""What a definition leaves open until its steps run: `Get`, `Std:Join` and `Std:JsonGet`.

Source: the SDK's `core.workflow` (what it writes) and developer guide, "Pass Data Between Steps".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud.pipelines import forms

FUNCTIONS = ("Get", "Std:Join", "Std:JsonGet")

NAMED_BY = ("OutputName", "InputName", "ChannelName", "MetricName", "VariantName", "Name")
"""Members by which a step's properties name an element of a list: `Outputs['train']`."""

_REFERENCE = re.compile(r"(Parameters|Execution|Steps)\.([\w-]+)(.*)", re.DOTALL)
_PART = re.compile(r"\.?([^.\[\]'\"]+)|\[(\d+)\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")

Part = str | int


class Unresolved(Exception):
    """An expression leads to nothing; the text says which."""


@dataclass(frozen=True)
class Reference:
    """What a `Get` names: `Steps.Train.ModelArtifacts.S3ModelArtifacts`."""

    kind: str
    """Parameters, Execution or Steps."""
    name: str
    path: tuple[Part, ...]

    @classmethod
    def parse(cls, text: Any) -> Reference:
        """Raises Unresolved when it is no reference."""
        found = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
        path = parts(found[3]) if found else None
        if found is None or path is None:
            raise Unresolved(f"Invalid reference: {text}")
        return cls(found[1], found[2], path)


@dataclass(frozen=True)
class Scope:
    """What the expressions of one execution can see."""

    parameters: Mapping[str, Any]
    execution: Mapping[str, Any]
    properties: Callable[[str], Mapping[str, Any]]
    """Of a step that has succeeded."""
    property_file: Callable[[str, str], str]
    """The S3 URI of a property file of a step."""
    read: Callable[[str], bytes]
    """The object of an S3 URI."""


def is_expression(value: Any) -> bool:
    """Whether the value is one of the functions."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in FUNCTIONS


def references(value: Any) -> Iterator[Reference]:
    """Everything that is got anywhere in a value. Raises Unresolved for what can't be read."""
    if is_expression(value):
        _check(value)
    if is_expression(value) and "Get" in value:
        yield Reference.parse(value["Get"])
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def _check(expression: Mapping[str, Any]) -> None:
    """Raises Unresolved for a function that lacks what it works on."""
    ((function, inside),) = expression.items()
    wrong = None
    if function == "Std:Join":
        wrong = forms.fault(inside, forms.JOIN) or ("Values" not in inside and "Std:Join has no Values")
    elif function == "Std:JsonGet":
        wrong = forms.fault(inside, forms.JSON_GET)
        if not wrong and ("Path" not in inside or ("PropertyFile" in inside) == ("S3Uri" in inside)):
            wrong = "Std:JsonGet has a Path, and either a PropertyFile or an S3Uri"
    if wrong:
        raise Unresolved(str(wrong))


def evaluated(value: Any, scope: Scope) -> Any:
    """The value without expressions. Raises Unresolved."""
    if is_expression(value):
        ((function, inside),) = value.items()
        return {"Get": _get, "Std:Join": _join, "Std:JsonGet": _json_get}[function](inside, scope)
    if isinstance(value, Mapping):
        return {name: evaluated(each, scope) for name, each in value.items()}
    if isinstance(value, list):
        return [evaluated(each, scope) for each in value]
    return value


def text(value: Any) -> str:
    """A value in a text; booleans as JSON has them (so the SDK's own tests against AWS)."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def parts(path: str) -> tuple[Part, ...] | None:
    """`.a['b'][0]` as ("a", "b", 0); None when it can't be read."""
    found, at = list[Part](), 0
    while at < len(path):
        step = _PART.match(path, at)
        if step is None:
            return None
        number, name = step[2], next((each for each in (step[1], step[3], step[4]) if each is not None), "")
        found.append(int(number) if number is not None else name)
        at = step.end()
    return tuple(found)


def follow(value: Any, path: tuple[Part, ...], said: str) -> Any:
    """What a path leads to. Raises Unresolved."""
    for part in path:
        value = _inside(value, part)
        if value is None:
            raise Unresolved(f"{said} has no value")
    return value


def _inside(value: Any, part: Part) -> Any:
    if isinstance(value, Mapping):
        return value.get(str(part))
    if isinstance(value, list):
        if isinstance(part, int):
            return value[part] if part < len(value) else None
        return next((each for each in value if _name(each) == part), None)
    return None


def _name(element: Any) -> Any:
    named = [element[name] for name in NAMED_BY if name in element] if isinstance(element, Mapping) else []
    return named[0] if named else None


def _get(inside: Any, scope: Scope) -> Any:
    reference = Reference.parse(inside)
    if reference.kind == "Steps":
        return follow(scope.properties(reference.name), reference.path, inside)
    known = scope.parameters if reference.kind == "Parameters" else scope.execution
    if reference.name not in known:
        raise Unresolved(f"{inside} has no value")
    return known[reference.name]


def _join(inside: Mapping[str, Any], scope: Scope) -> str:
    return text(inside.get("On", "")).join(text(evaluated(each, scope)) for each in inside["Values"])


def _json_get(inside: Mapping[str, Any], scope: Scope) -> Any:
    """A value in a JSON file on S3, which is a property file of a step, or any."""
    if "S3Uri" in inside:
        uri = evaluated(inside["S3Uri"], scope)
    else:
        reference = Reference.parse(inside["PropertyFile"]["Get"])
        uri = scope.property_file(reference.name, str(reference.path[1]))
    path = parts(str(inside["Path"]).removeprefix("$"))
    try:
        document = json.loads(scope.read(uri))
    except ValueError as error:
        raise Unresolved(f"{uri} is not JSON") from error
    found = follow(document, path or (), f"{inside['Path']} in {uri}")
    if path is None or isinstance(found, Mapping | list):
        raise Unresolved(f"{inside['Path']} in {uri} is not a single value")
    return found
