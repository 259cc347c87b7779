"""The environment as a layer: MLPLAT_<SECTION>__<KEY> for every key, and the three names that people know."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from mlplat.settings.layers import PATHS, Layer, absolute, is_like
from mlplat.settings.problems import KeyPath, Origin, Problem, nearest
from mlplat.settings.schema import is_table, kinds_at, kinds_of

KNOWN_NAMES: Mapping[str, KeyPath] = {
    "SAGEMAKER_INSTANCE_TYPE": ("training", "instance_type"),
    "ENDPOINT_INSTANCE_TYPE": ("serving", "instance_type"),
    "ENABLE_MODEL_MONITORING": ("monitoring", "enabled"),
    "MLPLAT_TARGET": ("target",),
    "MLPLAT_REGION": ("region",),
    "MLPLAT_PROFILE": ("profile",),
}
"""Variables that don't follow the rule. The rule's own name for the same key wins over them."""

PREFIX = "MLPLAT_"
TRUE, FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def read_environment(environ: Mapping[str, str], files: Sequence[Layer]) -> tuple[Layer, list[Problem]]:
    """What the environment says, and its variables that mean nothing. Empty ones count as not set.

    `files` tells how the tables in the configuration are spelled: MLPLAT_WORKLOADS__CHURN__... is [workloads.churn].
    """
    layer, problems = Layer(), list[Problem]()
    given = {name: text for name, text in sorted(environ.items()) if text != ""}
    ruled = [name for name in given if name.startswith(PREFIX) and "__" in name]
    for name in [*(name for name in KNOWN_NAMES if name in given), *ruled]:
        origin = Origin("environment", name)
        key = KNOWN_NAMES.get(name) or key_of(name, files)
        if key is None:
            guess = nearest(name, map(variable, known_keys(files)), cutoff=0.7)
            problems.append(Problem(origin, (), "names no key of the configuration", nearest=guess))
        else:
            layer.put(key, _value(key, given[name]), origin)
    return layer, problems


def variable(key: KeyPath) -> str:
    """The environment variable of a key."""
    known = {key: name for name, key in KNOWN_NAMES.items()}
    return known.get(key) or PREFIX + "__".join(_plain(part) for part in key)


def key_of(name: str, files: Sequence[Layer]) -> KeyPath | None:
    """The key that a variable names, None when there is none.

    Tables that name things (workloads) must exist; tables of plain values (hyperparameters) may get new keys.
    """
    key: KeyPath = ()
    for part in name.removeprefix(PREFIX).split("__"):
        spelled = {_plain(each): each for each in _names_at(key, files)}.get(part.upper())
        if spelled is None:
            if not part or not _takes_new_values(key):
                return None
            spelled = part if key[-1:] == ("environment",) else part.lower()
        key = (*key, spelled)
    return key


def known_keys(files: Sequence[Layer], key: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key that a value can have, with the names that the files give to things."""
    names = list(dict.fromkeys(_names_at(key, files)))
    if key and not names:
        yield key
    for name in names:
        yield from known_keys(files, (*key, name))


def _plain(part: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", part).upper()


def _names_at(key: KeyPath, files: Sequence[Layer]) -> Iterator[str]:
    """The names in a table: its fields, or what the files have in it."""
    for kind in kinds_at(key):
        if is_table(kind):
            yield from kind.model_fields
        elif get_origin(kind) is dict:
            for here in (layer.at(key) for layer in files):
                yield from here if isinstance(here, dict) else ()


def _takes_new_values(key: KeyPath) -> bool:
    tables = [kind for kind in kinds_at(key) if get_origin(kind) is dict]
    return any(not any(is_table(each) for each in kinds_of(get_args(kind)[1])) for kind in tables)


def _value(key: KeyPath, text: str) -> Any:
    """Text as the type of its key; text that can't be it stays text, and is refused as a value of a file would be."""
    kinds = kinds_at(key)
    if is_like(key, PATHS):
        return absolute(text, Path.cwd())
    if kinds == [bool] and text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    if any(get_origin(kind) is list for kind in kinds) and not text.lstrip().startswith("["):
        return [each.strip() for each in text.split(",") if each.strip()]
    if all(kind in (str, Path) or get_origin(kind) is Literal for kind in kinds):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
