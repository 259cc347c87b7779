"""Parameters of a definition, and the values that an execution is started with.

Source: developer guide, "Pipeline parameters"; the wording of refusals is not verified.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud.pipelines import forms
from mlplat.localcloud.sagemaker.errors import invalid


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


READING: dict[str, Callable[[str], Any]] = {"String": str, "Integer": int, "Float": _float, "Boolean": _boolean}
TYPES: dict[str, tuple[type, ...]] = {"String": (str,), "Integer": (int,), "Float": (int, float), "Boolean": (bool,)}


@dataclass(frozen=True)
class Parameter:
    """One parameter; `default` is None when a value must be given."""

    name: str
    type: str
    default: Any = None
    allowed: tuple[Any, ...] = ()

    @classmethod
    def parse(cls, document: Any) -> Parameter:
        """Raises ValueError with what is wrong."""
        if not isinstance(document, Mapping):
            raise ValueError("Expecting start of Json Object.")
        name, kind = document.get("Name"), document.get("Type")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9\-_]{1,256}", name):
            raise ValueError(f"Invalid parameter name: {name}.")
        if kind not in TYPES:
            raise ValueError(f"Unknown type '{kind}' of parameter {name}.")
        if wrong := forms.fault(document, forms.PARAMETER):
            raise ValueError(wrong)
        made = cls(name, kind, document.get("DefaultValue"), tuple(document.get("EnumValues") or ()))
        if made.default is not None and not made.is_fitting(made.default):
            raise ValueError(f"The default value of parameter {name} is not a {kind}, or not among its EnumValues.")
        return made

    def is_fitting(self, value: Any) -> bool:
        """Whether the value is of the type, and among those allowed."""
        right = isinstance(value, TYPES[self.type]) and (self.type == "Boolean" or not isinstance(value, bool))
        return right and (not self.allowed or value in self.allowed)

    def read(self, text: str) -> Any:
        """The value that a text stands for. Raises AwsError."""
        try:
            value = READING[self.type](text)
        except (ValueError, KeyError) as error:
            raise invalid(f"Parameter {self.name} must be of type {self.type}, not '{text}'.") from error
        if not self.is_fitting(value):
            raise invalid(f"Parameter {self.name} must be one of {list(self.allowed)}, not '{text}'.")
        return value


def values(parameters: Mapping[str, Parameter], given: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The value of every parameter of an execution. Raises AwsError for what is unknown, missing or doesn't fit."""
    names = [each["Name"] for each in given]
    if unknown := [name for name in names if name not in parameters]:
        raise invalid(f"Parameters {unknown} are not defined in the pipeline.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise invalid(f"Parameter {twice[0]} is given more than once.")
    texts = {each["Name"]: each["Value"] for each in given}
    if missing := [name for name, each in parameters.items() if each.default is None and name not in texts]:
        raise invalid(f"Parameters {missing} have no default value and must be given.")
    return {name: each.read(texts[name]) if name in texts else each.default for name, each in parameters.items()}
