"""What the models say about a key: the types and bounds of its value, and the keys of a table."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mlplat.settings.model import Settings
from mlplat.settings.problems import KeyPath


def kinds_at(key: KeyPath) -> list[Any]:
    """The types that the value of a key may have: scalars, `dict[...]`, `list[...]` or tables (models)."""
    kinds: list[Any] = [Settings]
    for part in key:
        kinds = [inner for kind in kinds for inner in _inside(kind, part)]
    return kinds


def _inside(kind: Any, part: str) -> list[Any]:
    if is_table(kind):
        field = kind.model_fields.get(part)
        return kinds_of(field.annotation) if field else []
    return kinds_of(get_args(kind)[1]) if get_origin(kind) is dict else []


def kinds_of(annotation: Any) -> list[Any]:
    """The types of an annotation, without Annotated and None."""
    if get_origin(annotation) is Annotated:
        return kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for each in get_args(annotation) if each is not NoneType for kind in kinds_of(each)]
    return [annotation]


def is_table(kind: Any) -> bool:
    """Whether a type is a table with fixed keys."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def fields_at(key: KeyPath) -> list[str]:
    """The fixed keys of a table, none for one that takes any."""
    tables = [inner for kind in kinds_at(key) for inner in (kind, *_rows(kind)) if is_table(inner)]
    return [field.alias or name for kind in tables for name, field in kind.model_fields.items()]


def _rows(kind: Any) -> list[Any]:
    """What a list holds: an array of tables is a table as far as its keys go."""
    return kinds_of(get_args(kind)[0]) if get_origin(kind) is list else []


def bounds_at(key: KeyPath) -> tuple[Any, Any]:
    """The least and the greatest number that a key takes, None for no bound."""
    least = greatest = None
    for each in (each for field in _fields(key) for each in _metadata(field)):
        least = each.ge if isinstance(each, Ge) else least
        greatest = each.le if isinstance(each, Le) else greatest
    return least, greatest


def default_at(key: KeyPath) -> Any:
    """The built-in value of a key, None without one."""
    defaults = [field.get_default() for field in _fields(key) if not field.is_required()]
    return defaults[0] if defaults else None


def _fields(key: KeyPath) -> list[FieldInfo]:
    tables = [kind for kind in kinds_at(key[:-1]) if is_table(kind)]
    return [kind.model_fields[key[-1]] for kind in tables if key[-1] in kind.model_fields]


def _metadata(field: FieldInfo) -> list[Any]:
    """Annotations of the field itself, and of the other side of `| None`."""
    found = list(field.metadata)
    for each in get_args(field.annotation):
        for inner in getattr(each, "__metadata__", ()):
            found += getattr(inner, "metadata", [inner])
    return found
