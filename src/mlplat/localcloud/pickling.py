"""moto's objects as bytes and back: what refers to another backend, or is big and seldom changes, is named instead.

Lambdas and closures that moto keeps in its objects go by value (cloudpickle); locks come back open; private keys go
as PKCS 8.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

import cloudpickle

LOCKS = (type(threading.Lock()), type(threading.RLock()))

PLAIN = (dict, defaultdict, OrderedDict)

Id = tuple[Any, ...]
"""What stands for an object that is kept elsewhere; its first member says which kind it is."""


class _Pickler(cloudpickle.Pickler):
    def __init__(self, file: io.BytesIO, names: Mapping[int, Id]) -> None:
        super().__init__(file, protocol=5)
        self._names = names

    def persistent_id(self, thing: Any) -> Id | None:
        return self._names.get(id(thing))

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, LOCKS):
            return threading.RLock, ()
        if hasattr(type(thing), "private_bytes"):
            return _private_key, (_pkcs8(thing),)
        if isinstance(thing, WeakValueDictionary):
            return WeakValueDictionary, (dict(thing),)
        kind = type(thing)
        if issubclass(kind, dict) and kind not in PLAIN and kind.__module__.startswith("moto."):
            return (
                _dictionary,
                (kind,),
                (getattr(thing, "default_factory", None), thing.__dict__, dict(thing)),
                None,
                None,
                _fill,
            )
        return super().reducer_override(thing)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, find: Callable[[Id], Any]) -> None:
        super().__init__(file)
        self._find = find

    def persistent_load(self, pid: Id) -> Any:
        return self._find(pid)


def dumps(thing: Any, names: Mapping[int, Id]) -> bytes:
    """`thing` as bytes; objects whose `id` is in `names` are named, not written."""
    file = io.BytesIO()
    _Pickler(file, names).dump(thing)
    return file.getvalue()


def loads(data: bytes, find: Callable[[Id], Any]) -> Any:
    """The object again; `find` gives what was named."""
    return _Unpickler(io.BytesIO(data), find).load()


def _dictionary(kind: type[dict[Any, Any]]) -> Any:
    """One of moto's own dictionaries: past its constructor, which wants something, and its setters, which do more."""
    return kind.__new__(kind)


def _fill(made: Any, state: tuple[Any, dict[str, Any], dict[Any, Any]]) -> None:
    factory, attributes, items = state
    if factory is not None:
        made.default_factory = factory
    made.__dict__.update(attributes)
    dict.update(made, items)


def _pkcs8(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    made: bytes = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made


def _private_key(data: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_der_private_key(data, password=None)
