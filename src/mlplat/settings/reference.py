"""Every key that can be set, for people to look up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from mlplat.settings.environment import known_keys, variable
from mlplat.settings.loading import configured
from mlplat.settings.problems import KeyPath
from mlplat.settings.schema import bounds_at, default_at, fields_at, kinds_at

_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}


def reference(config: Path | None = None) -> Iterator[tuple[KeyPath, str, str, str]]:
    """Key, environment variable, what is allowed, and what is built in (JSON); by the tables in the config folder."""
    for key in dict.fromkeys(known_keys(configured(config))):
        if fields_at(key[:-1]):  # not the features, metrics, hyperparameters that somebody named
            default = default_at(key)
            yield key, variable(key), allowed(key), "" if default is None else json.dumps(default)


def allowed(key: KeyPath) -> str:
    """What the value of a key may be, in words."""
    least, greatest = bounds_at(key)
    kinds = kinds_at(key)
    options = [json.dumps(each) for kind in kinds if get_origin(kind) is Literal for each in get_args(kind)]
    if options:
        return ", ".join(dict.fromkeys(options))
    words = " or ".join(dict.fromkeys(_word(kind) for kind in kinds))
    if least is None:
        return words
    return f"{words}, {least} to {greatest}" if greatest is not None else f"{words}, {least} or more"


def _word(kind: Any) -> str:
    if get_origin(kind) is list:
        return "list"
    return _WORDS.get(kind, "table")
