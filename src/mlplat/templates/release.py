"""What an endpoint serves: the model version behind each variant, its share of the traffic and its instances.

`deploy` makes a release, the state keeps it, the serving template turns it into models, a config and an endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Variant:
    """One production variant: a version of the endpoint's model package group on its own instances."""

    model_package: str
    """The ARN of the model package version."""
    version: int
    weight: float
    """Its share is its weight over the sum of all weights; 0 gets no traffic."""
    instance_type: str
    instance_count: int


@dataclass(frozen=True)
class Release:
    """The variants of one endpoint, by name."""

    variants: Mapping[str, Variant]

    def to_json(self) -> dict[str, Any]:
        """As the state keeps it."""
        return {"variants": {name: asdict(variant) for name, variant in self.variants.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The way back from `to_json`."""
        return cls({str(name): Variant(**fields) for name, fields in value["variants"].items()})

    @property
    def weights(self) -> dict[str, float]:
        """Variant -> weight."""
        return {name: variant.weight for name, variant in self.variants.items()}
