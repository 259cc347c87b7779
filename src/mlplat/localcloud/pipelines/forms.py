"""The form of a definition's parts: which are lists, objects and plain values, before anybody reads what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Form = Any
"""A type, `[form]` for a list, `{member: form}` for an object (members may be absent or null)."""

NUMBER = (int, float)

STEP: Form = {
    "DisplayName": str,
    "Description": str,
    "DependsOn": [str],
    "Arguments": {},
    "CacheConfig": {"Enabled": bool, "ExpireAfter": str},
    "RetryPolicies": [
        {
            "ExceptionType": [str],
            "IntervalSeconds": int,
            "BackoffRate": NUMBER,
            "MaxAttempts": int,
            "ExpireAfterMin": int,
        }
    ],
    "PropertyFiles": [{"PropertyFileName": str, "OutputName": str, "FilePath": str}],
    "OutputParameters": [{"OutputName": str, "OutputType": str}],
}

PARAMETER: Form = {"EnumValues": [(str, bool, int, float)]}

CONDITION_ARGUMENTS: Form = {"Conditions": [{}], "IfSteps": [{}], "ElseSteps": [{}]}

JOIN: Form = {"Values": []}

JSON_GET: Form = {"Path": str, "PropertyFile": {"Get": str}}


def fault(value: Any, form: Form) -> str | None:
    """What is wrong first, in AWS's words where they are recorded (the SDK's issues 2345 and 3908)."""
    if isinstance(form, list):
        if not isinstance(value, list):
            return "Expecting start of Json Array."
        return next(filter(None, (fault(each, form[0]) for each in value)), None) if form else None
    if isinstance(form, dict):
        if not isinstance(value, Mapping):
            return "Expecting start of Json Object."
        present = [(value[name], inner) for name, inner in form.items() if value.get(name) is not None]
        return next(filter(None, (fault(each, inner) for each, inner in present)), None)
    types = form if isinstance(form, tuple) else (form,)
    fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
    return None if fits else f"Unexpected value: {value}."
