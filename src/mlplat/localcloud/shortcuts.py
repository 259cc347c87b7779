"""What moto does with every request and every answer in XML, done with less work: the results are the same ones.

Most of a call's time went into these six. What is unusual is left to what moto uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property, lru_cache
from string import ascii_letters, digits
from types import SimpleNamespace
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import xmltodict  # type: ignore[import-untyped]
from botocore.utils import parse_to_aware_datetime
from moto.core import request, serialize
from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY
from moto.core.utils import MISSING, get_value
from moto.moto_api._internal.moto_random import MotoRandom

_USUAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6})?Z", re.ASCII)
WITHOUT_PREFIX = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


def register() -> None:
    """Put them in the place of moto's, before the first request."""
    if request.EnvironHeaders is Headers:
        return
    request.EnvironHeaders = Headers
    url = cached_property(request.Request.raw_url.fget)
    url.__set_name__(request.Request, "raw_url")
    request.Request.raw_url = url
    serialize.ResponseSerializer.get_value = picked
    serialize.xmltodict = SimpleNamespace(unparse=document)
    serialize.parse_to_aware_datetime = moment
    MotoRandom.get_random_string = random_text


class Headers(request.EnvironHeaders):
    """A request's headers, whose names are spelled once for all requests."""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        preserved = self.environ.get(PRESERVED_HEADER_NAMES_ENVIRON_KEY) or {}
        for key, value in self.environ.items():
            name = _spelled(key)
            if name is not None and (value or key not in WITHOUT_PREFIX):
                yield preserved.get(key, name), value

    def _get_key(self, key: str) -> str:
        found: str = self.environ[_key(key)] if isinstance(key, str) else super()._get_key(key)
        return found


@lru_cache(4096)
def _spelled(key: str) -> str | None:
    """The header's name of a key of the environment; None for what isn't a header."""
    if key in WITHOUT_PREFIX:
        return key.replace("_", "-").title()
    is_header = key.startswith("HTTP_") and key[5:] not in WITHOUT_PREFIX
    return key[5:].replace("_", "-").title() if is_header else None


@lru_cache(4096)
def _key(name: str) -> str:
    return str(request.environ_key_for_header(name))


def picked(serializer: Any, value: Any, key: str, shape: Any) -> Any:
    """A member's value in an object of moto's, which may have it by one of several names: `AttributePicker`."""
    picker = serializer._value_picker
    if not isinstance(picker, serialize.AttributePicker):
        return get_value(value, key, None)  # DefaultAttributePicker
    found = None
    for name in _names(picker, serializer, value, key, shape):
        found = get_value(value, name, MISSING)
        if found is not MISSING:
            break
    else:
        found = None
    for path in _paths(tuple(picker.response_transformers), key):
        if f"{'.'.join(serializer.path)}.{key}".endswith(path):
            return picker.response_transformers[path](found)
    return found


def _names(picker: Any, serializer: Any, value: Any, key: str, shape: Any) -> tuple[str, ...]:
    """The names depend on the shape and on the object's class; each shape is a member of one structure only."""
    known: dict[Any, tuple[str, ...]] = shape.__dict__.setdefault("_names_by_class", {})
    kind = (type(picker), type(value), key)
    if kind not in known:
        model = serializer.operation_model
        context = serialize.AttributePickerContext(value, key, shape, model, model.service_model)
        known[kind] = tuple(dict.fromkeys(picker.get_possible_keys(context)))
    return known[kind]


@lru_cache(4096)
def _paths(paths: tuple[str, ...], key: str) -> tuple[str, ...]:
    """The paths that may end in this key."""
    return tuple(path for path in paths if f".{key}".endswith(path[path.rfind(".") :] if "." in path else path))


def moment(value: Any) -> datetime:
    """`parse_to_aware_datetime`, which looks at a text for a tenth of a millisecond: lists have a thousand of them."""
    if isinstance(value, str) and _USUAL_TIME.fullmatch(value):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    found: datetime = parse_to_aware_datetime(value)
    return found


def random_text(self: MotoRandom, length: int = 20, include_digits: bool = True, lower_case: bool = False) -> str:
    """Letters and digits: each answer has 52 of them in its request id."""
    text = "".join(self.choices(ascii_letters + digits if include_digits else ascii_letters, k=length))
    return text.lower() if lower_case else text


class _Unusual(Exception):
    """Something that `xmltodict` has its own rules for."""


def document(body: Mapping[str, Any], **asked: Any) -> str:
    """`xmltodict.unparse`, without a generator of events in between."""
    try:
        if asked.get("pretty") or not asked.get("short_empty_elements") or len(body) != 1:
            raise _Unusual
        ((name, value),) = body.items()
        if isinstance(value, list):
            raise _Unusual
        parts = ['<?xml version="1.0" encoding="utf-8"?>\n'] if asked.get("full_document", True) else []
        _write(name, value, parts.append)
        return "".join(parts)
    except _Unusual:
        text: str = xmltodict.unparse(body, **asked)
        return text


def _write(name: str, value: Any, write: Callable[[str], None]) -> None:
    if not _is_plain(name):
        raise _Unusual
    if type(value) is dict:
        _write_element(name, value, write)
    elif type(value) is list:
        for each in value:
            if type(each) is list:
                raise _Unusual
            _write(name, each, write)
    else:
        text = _text(value)
        write(f"<{name}>{escape(text)}</{name}>" if text else f"<{name}/>")


def _write_element(name: str, value: dict[str, Any], write: Callable[[str], None]) -> None:
    attributes, inside = "", list[str]()
    text = ""
    for key, each in value.items():
        if key == "#text":
            text = escape(_text(each))
        elif key[:1] == "@":
            if not _is_plain(key[1:]):
                raise _Unusual
            attributes += f" {key[1:]}={quoteattr(_text(each))}"
        else:
            _write(key, each, inside.append)
    content = "".join(inside) + text
    write(f"<{name}{attributes}>{content}</{name}>" if content else f"<{name}{attributes}/>")


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) not in (int, float):
        raise _Unusual
    return str(value)


@lru_cache(8192)
def _is_plain(name: str) -> bool:
    """Names of elements as AWS's models have them."""
    return name.replace("_", "").replace("-", "").replace(":", "").replace(".", "").isalnum()
