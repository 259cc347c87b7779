"""How an endpoint's traffic and instances are spread over its variants, in a form that can be compared."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Variants = Sequence[Mapping[str, Any]]
"""The ProductionVariants of an endpoint's description."""


def shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Variant -> its share of the traffic, from weights as SageMaker keeps them (float32)."""
    kept = {name: struct.unpack("f", struct.pack("f", weight))[0] for name, weight in weights.items()}
    total = sum(kept.values()) or 1.0
    return {name: round(weight / total, 6) for name, weight in kept.items()}


def current_shares(variants: Variants) -> dict[str, float]:
    """The shares that are in force; desired ones may have been rolled back."""
    return shares({each["VariantName"]: each.get("CurrentWeight", 0.0) for each in variants})


def instance_counts(variants: Variants, only: Collection[str] | None) -> dict[str, int]:
    """Variant -> instances it is meant to have, of the variants in `only` (None: of all)."""
    return {
        each["VariantName"]: each.get("DesiredInstanceCount", each.get("CurrentInstanceCount"))
        for each in variants
        if only is None or each["VariantName"] in only
    }
