"""What a target is sent: the event, a part of it, a constant, or a text made of its parts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Event = dict[str, Any]

_NAME = re.compile(r"<([\w.-]+)>")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"]([^'\"]+)['\"]\]")


def body(target: Mapping[str, Any], event: Event, rule: tuple[str, str] = ("", "")) -> str:
    """The JSON text for a target of a rule (`rule`: its ARN and name)."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        return json.dumps(at(event, target["InputPath"]))
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        known = {name: at(event, path) for name, path in transformer.get("InputPathsMap", {}).items()}
        return filled(transformer["InputTemplate"], known | _own(event, rule))
    return json.dumps(event)


def parametrised(target: Mapping[str, Any], event: Event) -> Mapping[str, Any]:
    """The target with the values of a pipeline's parameters, which may be paths (API reference, Target)."""
    given = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList")
    if not given:
        return target
    values = [{"Name": each["Name"], "Value": _parameter(each["Value"], event)} for each in given]
    return {**target, "SageMakerPipelineParameters": {"PipelineParameterList": values}}


def _parameter(value: str, event: Event) -> str:
    if not value.startswith("$."):
        return value
    found = at(event, value)
    return found if isinstance(found, str) else json.dumps(found)


def at(event: Any, path: str) -> Any:
    """What a JSON path leads to; None where there is nothing."""
    found = event
    for step in _STEP.finditer(path.removeprefix("$")):
        name = step[1] or step[3]
        if name is not None:
            found = found.get(name) if isinstance(found, dict) else None
        else:
            index = int(step[2])
            found = found[index] if isinstance(found, list) and index < len(found) else None
    return found


def filled(template: str, values: Mapping[str, Any]) -> str:
    """The template with its `<names>`: as they are inside quotes, as JSON outside of them."""
    parts, begin = list[str](), 0
    for found in _NAME.finditer(template):
        if found[1] not in values:
            continue
        before = template[begin : found.start()]
        parts += [before, _inserted(values[found[1]], quoted=_in_quotes(template[: found.start()]))]
        begin = found.end()
    return "".join([*parts, template[begin:]])


def _own(event: Event, rule: tuple[str, str]) -> dict[str, Any]:
    """User guide, "Amazon EventBridge input transformation": predefined variables."""
    without = {name: value for name, value in event.items() if name != "detail"}
    return {
        "aws.events.rule-arn": rule[0],
        "aws.events.rule-name": rule[1],
        "aws.events.event.ingestion-time": event["time"],
        "aws.events.event": without,
        "aws.events.event.json": event,
    }


def _inserted(value: Any, *, quoted: bool) -> str:
    if not quoted:
        return json.dumps(value)
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return json.dumps(text)[1:-1]


def _in_quotes(text: str) -> bool:
    return len(re.findall(r'(?<!\\)"', text)) % 2 == 1
