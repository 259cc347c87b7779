"""How an error reads: `<doing> <kind> <name>: <cause>`, and several of them as one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

from mlplat.errors import ApiError, CredentialsError, Interrupted, MlplatError, Several, StateError
from mlplat.resources.base import Resource

E = TypeVar("E", bound=MlplatError)


def told(error: Exception, doing: str, resource: Resource) -> MlplatError:
    """The error of a kind's verb, in words for people; a bug keeps its type's name and its cause."""
    what = f"{doing} {resource.kind} {resource.name}"
    if isinstance(error, ApiError):
        return _caused(error.said_while(what), error)
    if isinstance(error, CredentialsError | Interrupted | StateError):
        return error
    if isinstance(error, MlplatError):
        return error if resource.name in error.message else _prefixed(error, what)
    return _caused(MlplatError(f"{what}: {type(error).__name__}: {error}"), error)


def together(errors: Sequence[MlplatError], doing: str) -> MlplatError:
    """One error for all of them: itself when there is one, otherwise a list with their hints."""
    if len(errors) == 1:
        return errors[0]
    hint = next((error.hint for error in errors if error.hint), None)
    return _caused(Several(f"{doing}: {len(errors)} problems\n{listed(errors)}", hint=hint, errors=errors), errors[0])


def listed(errors: Sequence[MlplatError]) -> str:
    """A line an error."""
    return "\n".join(f"  {error.message}" for error in errors)


def _prefixed(error: MlplatError, what: str) -> MlplatError:
    found = copy.copy(error)
    found.message = f"{what}: {error.message}"
    found.args = (found.message,)
    return _caused(found, error)


def _caused(error: E, cause: BaseException) -> E:
    if error is not cause:
        error.__cause__ = cause
    return error
