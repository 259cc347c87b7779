"""The state file's envelope and its versions: what a file of each format is, and how an older one becomes ours.

Every format is a JSON object with its number in `format` and, in `sha256`, a digest of all the rest: damage is told
from a newer format before anything else of the file is believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 1
"""The version of the file's format; a file of a newer one is refused."""

Body = dict[str, Any]
"""A state file's content without the digest."""

MIGRATIONS: dict[int, Callable[[Body], Body]] = {}
"""Format -> what makes the next one of its body. An older mlplat can't read the result, so the old file is kept."""


class NewerFormat(Exception):
    """The file says that a newer mlplat wrote it."""


def parsed(text: bytes) -> Body:
    """The body of a file. Raises ValueError when it is damaged and `NewerFormat` when a newer mlplat wrote it."""
    try:
        body: Body = json.loads(text)
        claimed = body.pop("sha256")
        if claimed != digest(body):
            raise ValueError("its content doesn't match its digest")
        if body["format"] > FORMAT:
            raise NewerFormat(body["format"])
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"it is no state file ({error!r})") from error
    return body


def migrated(body: Body) -> Body:
    """The body in our format. Raises ValueError for a format that no migration is known for."""
    while body["format"] < FORMAT:
        number = body["format"]
        if number not in MIGRATIONS:
            raise ValueError(f"this mlplat can't read format {number}")
        body = {**MIGRATIONS[number](body), "format": number + 1}
    return body


def digest(body: Mapping[str, Any]) -> str:
    """What `sha256` says of a body."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
