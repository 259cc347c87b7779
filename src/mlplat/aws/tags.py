"""Tags, as a map and as AWS's lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def tag_list(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Tags as most services take them; KMS says TagKey and TagValue."""
    return [{key: k, value: v} for k, v in sorted(tags.items())]


def tag_map(tags: Sequence[Mapping[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """The way back from `tag_list`."""
    return {each[key]: each[value] for each in tags or ()}
