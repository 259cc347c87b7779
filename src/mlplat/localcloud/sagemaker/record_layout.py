"""Records of a feature group that have the same features in the same order, as nearly all do: read with little work.

Only says yes where `Schema` would: what doesn't fit is looked at again there, which knows what to say about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from mlplat.localcloud.sagemaker.records import Values

LARGEST_VALUE = 350 * 1024


class Layout:
    """What is known of the records with these features."""

    def __init__(self, names: Sequence[str], features: Mapping[str, Mapping[str, Any]], needed: Sequence[str]) -> None:
        """`needed` are the record identifier and the event time."""
        kinds = [features[name]["FeatureType"] for name in names]
        self.identifier, self.event = map(names.index, needed)
        self._fractional = [place for place, kind in enumerate(kinds) if kind == "Fractional"]
        self._integral = [place for place, kind in enumerate(kinds) if kind == "Integral"]
        parts = ['{"FeatureName": %s, "ValueAsString": %%s}' % quoted(name).replace("%", "%%") for name in names]  # noqa: UP031
        self._form = f"[{', '.join(parts)}]"

    @classmethod
    def of(
        cls, names: Sequence[str], features: Mapping[str, Mapping[str, Any]], needed: Sequence[str]
    ) -> Layout | None:
        """None for names that no record can have, and where a feature is a collection."""
        fits = len(set(names)) == len(names) and features.keys() >= set(names) >= set(needed)
        plain = fits and not any(features[name].get("CollectionType") for name in names)
        return cls(names, features, needed) if plain else None

    def texts(self, values: Values) -> list[str] | None:
        """What a record has for each feature; None if it may not fit."""
        try:
            texts: list[str] = [each["ValueAsString"] for each in values]
            if set(map(len, values)) != {2} or max(map(len, texts)) > LARGEST_VALUE:
                return None
            for place in self._fractional:
                float(texts[place])
            fits = all(-(2**63) <= int(texts[place]) < 2**63 for place in self._integral)
        except (KeyError, ValueError):
            return None
        return texts if fits else None

    def json(self, texts: Sequence[str]) -> str:
        """The record as JSON."""
        return self._form % tuple(map(quoted, texts))
