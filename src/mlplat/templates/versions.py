"""Versions of feature groups: what they are called, and where their addresses and their offline half begin.

What the parts of ml_feature_store share.
"""

from __future__ import annotations

FEATURE_STORE = "ml_feature_store"

PREFIX = "feature-store"
"""Where in the processed bucket the offline store is."""


def versioned(group: str, version: int) -> str:
    """What a version of a group is called, in addresses and on AWS: customer, customer-v2, ..."""
    return group if version == 1 else f"{group}-v{version}"


def group_address(group: str, version: int) -> str:
    """The address of a version of a group."""
    return f"{FEATURE_STORE}.feature_group.{versioned(group, version)}"
