"""Pages of Glue's lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlplat.localcloud.glue.errors import invalid


def page(found: Sequence[Any], request: Mapping[str, Any], size: int = 100) -> tuple[list[Any], str | None]:
    """The part that a request asks for, and the token of the next."""
    try:
        start = int(request.get("NextToken") or 0)
    except ValueError as error:
        raise invalid("Invalid pagination token.") from error  # wording not verified
    end = start + int(request.get("MaxResults") or size)
    return list(found[start:end]), str(end) if end < len(found) else None
